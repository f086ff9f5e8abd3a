/**
 * A modern server elsewhere (2026-07-28) that wants arguments mirrored in headers: its tools whose `x-mcp-header` is invalid are shown to
 * nobody and refused by name; of the others, what a client of either era says arrives as `Mcp-Param-…`, encoded as the protocol wants it.
 */

import t, { type Test } from 'tap';
import { addressOf, LAUNCHER, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { ask, modern } from '../helpers/front-server.ts';
import { connectPeer, type Document, type Peer, PEER_KINDS, type PeerOptions } from '../helpers/mcp-peer.ts';
import { refusalFields } from '../helpers/refusal-fields.ts';
import { remoteModern, type RemoteModern } from '../helpers/remote-modern.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

t.setTimeout(patience(180_000));

const REFUSED = -31_050;
const MISMATCH = -32_020;
const of = (properties: object): object => ({ type: 'object', properties });
const REGION = { type: 'string', 'x-mcp-header': 'Region' };
const GOOD: Readonly<Record<string, object>> = {
  sql: of({
    region: REGION,
    dry: { type: 'boolean', 'x-mcp-header': 'Dry' },
    limits: of({ rows: { type: 'integer', 'x-mcp-header': 'Max-Rows' } }),
    query: { type: 'string' },
  }),
  plain: of({ region: { type: 'string' } }),
};
/** What is wrong with them, in Governor's words. */
const FAULTY: Readonly<Record<string, readonly [schema: object, fault: string]>> = {
  injects: [
    of({ a: { type: 'string', 'x-mcp-header': 'A\r\nX-Evil: 1' } }),
    '"a" has "A\\r\\nX-Evil: 1", no name of a header',
  ],
  spaced: [of({ a: { type: 'string', 'x-mcp-header': 'My Region' } }), '"a" has "My Region", no name of a header'],
  coloned: [of({ a: { type: 'string', 'x-mcp-header': 'Region:' } }), '"a" has "Region:", no name of a header'],
  umlaut: [of({ a: { type: 'string', 'x-mcp-header': 'Größe' } }), '"a" has "Größe", no name of a header'],
  empty: [of({ a: { type: 'string', 'x-mcp-header': '' } }), '"a" has "", no name of a header'],
  no_text: [of({ a: { type: 'string', 'x-mcp-header': 7 } }), '"a" has 7, no name of a header'],
  number: [of({ a: { type: 'number', 'x-mcp-header': 'A' } }), '"a" is neither of type string nor integer nor boolean'],
  object: [of({ a: { ...of({}), 'x-mcp-header': 'A' } }), '"a" is neither of type string'],
  array: [of({ a: { type: 'array', items: {}, 'x-mcp-header': 'A' } }), '"a" is neither of type string'],
  untyped: [of({ a: { 'x-mcp-header': 'A' } }), '"a" is neither of type string'],
  several: [of({ a: { type: ['string', 'null'], 'x-mcp-header': 'A' } }), '"a" is neither of type string'],
  twice: [
    of({ a: REGION, b: of({ c: { type: 'string', 'x-mcp-header': 'REGION' } }) }),
    '"a" and "b.c" have the same one',
  ],
  items: [
    of({ a: { type: 'array', items: REGION } }),
    '"a.items" has one, which only arguments reached by "properties"',
  ],
  either: [{ ...of({}), anyOf: [of({ a: REGION }), {}] }, '"anyOf.a" has one, which only'],
  referred: [{ ...of({ a: { $ref: '#/$defs/place' } }), $defs: { place: REGION } }, '"place" has one, which only'],
  itself: [{ ...of({}), 'x-mcp-header': 'A' }, 'the schema itself has one, which only'],
};
const ALL = { ...GOOD, ...Object.fromEntries(Object.entries(FAULTY).map(([name, [schema]]) => [name, schema])) };

interface Way {
  readonly peer: Peer;
  readonly title: string;
  named(tool: string): string;
}

async function start(t: Test, remote: RemoteModern, more: object = {}): Promise<RunningDaemon> {
  const far = { url: remote.url, sharing: 'shared', autostart: false, health_check: 'none', ...more };
  return startDaemon(t, { config: { tools: { far } } });
}

/** Clients of each kind, at each door. */
async function* ways(t: Test, daemon: RunningDaemon): AsyncGenerator<Way> {
  const { url, token } = addressOf(daemon);
  const over = (kind: PeerOptions['kind'], path: string): Promise<Peer> =>
    connectPeer(t, { kind, name: kind, to: { url: new URL(path, url).href, token } });
  for (const kind of PEER_KINDS) {
    yield { peer: await over(kind, '/mcp/far'), title: `${kind} at /mcp/far`, named: (tool) => tool };
    yield { peer: await over(kind, '/mcp'), title: `${kind} at /mcp`, named: (tool) => `far__${tool}` };
  }
  const to = { command: LAUNCHER, args: ['connect', 'far'], env: { ...daemon.env } };
  const peer = await connectPeer(t, { kind: 'sdk-1', name: 'editor', to });
  yield { peer, title: 'governor connect', named: (tool) => tool };
}

const namesOf = async (peer: Peer): Promise<readonly string[]> =>
  (await peer.list('tools/list', 'tools')).entries.map(({ name }) => name);

const errorOf = (call: Promise<Document>): Promise<Document> =>
  call.then(
    (answered: Document) => ({ answered }),
    (error: unknown) => error,
  );

t.test('tools that may not be shown', async (t) => {
  const remote = await remoteModern(t, ALL);
  const daemon = await start(t, remote);
  for await (const { peer, title, named } of ways(t, daemon)) {
    await t.test(title, async (t) => {
      t.same(await namesOf(peer), Object.keys(GOOD).map(named), 'the others are there');
      for (const [tool, [, fault]] of Object.entries(FAULTY)) {
        const error = await errorOf(peer.call(named(tool), { a: 'x' }));
        t.equal(error.code, REFUSED, tool);
        t.match(error.message, `"${tool}" cannot be called: its "x-mcp-header" is invalid: ${fault}`);
        t.match(error.data, refusalFields(null), tool);
        t.same(remote.calls(tool), [], 'the server heard nothing of it');
      }
      t.same(JSON.parse((await peer.call(named('sql'), { region: 'eu' })).content[0].text), { region: 'eu' });
    });
  }
  for (const [tool, [, fault]] of Object.entries(FAULTY)) {
    const told = JSON.stringify(`the tool "${tool}" is left out: its "x-mcp-header" is invalid: ${fault}`).slice(1, -1);
    t.equal(daemon.output().split(told).length - 1, 1, `the log says once why ${tool} is missing`);
  }
});

/** As they are told by the protocol, or worked out by hand; null: no header. */
const VALUES: readonly (readonly [region: string, header: string])[] = [
  ['us-west1', 'us-west1'],
  ['us west 1', 'us west 1'],
  ['a\tb', 'a\tb'],
  ['true', 'true'],
  ['', '=?base64??='],
  [' padded ', '=?base64?IHBhZGRlZCA=?='],
  ['Hello, 世界', '=?base64?SGVsbG8sIOS4lueVjA==?='],
  ['line1\nline2', '=?base64?bGluZTEKbGluZTI=?='],
  ['a\r\nX-Evil: 1', '=?base64?YQ0KWC1FdmlsOiAx?='],
  ['x\u007f', '=?base64?eH8=?='],
  ['=?base64?literal?=', '=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?='],
  ['=?BASE64?literal?=', '=?BASE64?literal?='],
];
const ARGUMENTS: readonly (readonly [given: object, mirrored: Readonly<Record<string, string>>])[] = [
  ...VALUES.map(([region, header]) => [{ region }, { 'mcp-param-region': header }] as const),
  [
    { region: 'eu', dry: false, limits: { rows: 10 }, query: 'select' },
    { 'mcp-param-region': 'eu', 'mcp-param-dry': 'false', 'mcp-param-max-rows': '10' },
  ],
  [
    { dry: true, limits: { rows: -7 } },
    { 'mcp-param-dry': 'true', 'mcp-param-max-rows': '-7' },
  ],
  [{ limits: { rows: 0 } }, { 'mcp-param-max-rows': '0' }],
  [{ limits: { rows: 9_007_199_254_740_991 } }, { 'mcp-param-max-rows': '9007199254740991' }],
  // Of more than that two may be written alike.
  [{ limits: { rows: 9_007_199_254_740_992 } }, {}],
  [{ limits: {}, query: 'select' }, {}],
  [{}, {}],
];

t.test('arguments arrive as headers', async (t) => {
  const remote = await remoteModern(t, ALL);
  const daemon = await start(t, remote);
  for await (const { peer, title, named } of ways(t, daemon)) {
    await t.test(title, async (t) => {
      await namesOf(peer);
      for (const [given, mirrored] of ARGUMENTS) {
        const before = remote.calls('sql').length;
        const answer = await peer.call(named('sql'), given);
        t.same(JSON.parse(answer.content[0].text), given, 'the body is what it was');
        const calls = remote.calls('sql').slice(before);
        t.equal(calls.length, 1, 'and right at the first try');
        t.same(calls[0]?.mirrored, mirrored, JSON.stringify(given));
      }
      // It is the server's to refuse; a header is not expected.
      await errorOf(peer.call(named('sql'), { region: null, dry: true }));
      t.same(remote.calls('sql').at(-1)?.mirrored, { 'mcp-param-dry': 'true' });
      await peer.call(named('plain'), { region: 'eu' });
      t.same(remote.calls('plain').at(-1)?.mirrored, {}, 'what is not declared is not mirrored');
    });
  }
  t.same(
    remote.posts.filter(({ status }) => status() !== 200).map(({ method, status }) => `${method} ${status()}`),
    [],
  );
});

t.test('what a client of 2026-07-28 says in its own headers', async (t) => {
  const remote = await remoteModern(t, ALL);
  const daemon = await start(t, remote);
  const { url, token } = addressOf(daemon);
  const server = { port: Number(new URL(url).port) };
  const call = (given: object, mirrored: Readonly<Record<string, string>>) => {
    const { headers, body } = modern(1, 'tools/call', { name: 'sql', arguments: given }, mirrored);
    return ask(server, { path: '/mcp/far', headers: { ...headers, authorization: `Bearer ${token}` }, body });
  };
  for (const [given, mirrored, why] of [
    [{ region: 'eu' }, {}, /mcp-param-region is missing/],
    [{ region: 'eu' }, { 'mcp-param-region': 'us' }, /mcp-param-region "us" is not region "eu"/],
    [{ region: 'eu' }, { 'mcp-param-region': '=?base64?ZXU?=' }, /not a valid header value/],
    [{ limits: { rows: 10 } }, { 'mcp-param-max-rows': '11' }, /mcp-param-max-rows "11" is not limits\.rows "10"/],
  ] as const) {
    const reply = await call(given, mirrored);
    t.equal(reply.status, 400);
    t.match(reply.json, { error: { code: MISMATCH, message: why } });
  }
  t.same(remote.calls('sql'), [], 'the server heard of none');
  const given = { region: 'eu', limits: { rows: 10 } };
  // Allowed, though it is not how Governor writes them; and one that nobody declares.
  const said = { 'mcp-param-region': '=?base64?ZXU=?=', 'mcp-param-max-rows': '10.0', 'mcp-param-other': 'x' };
  t.equal((await call(given, said)).status, 200);
  t.same(remote.calls('sql').at(-1)?.mirrored, { 'mcp-param-region': 'eu', 'mcp-param-max-rows': '10' });
});

t.test('tools that are mended, and others that break', async (t) => {
  const remote = await remoteModern(t, ALL);
  const daemon = await start(t, remote);
  const { url, token } = addressOf(daemon);
  const peers = await Promise.all(
    PEER_KINDS.map((kind) => connectPeer(t, { kind, name: kind, to: { url: `${url}/mcp/far`, token } })),
  );
  for (const peer of peers) {
    if (peer.modern) await peer.watch('none://');
    await namesOf(peer);
  }
  await waitFor('Governor to listen', () => remote.posts.some(({ method }) => method === 'subscriptions/listen'));
  const { twice: _mended, sql: _broken, ...rest } = ALL;
  remote.tools = { ...rest, twice: of({ region: REGION }), sql: of({ region: { ...REGION, type: 'number' } }) };
  remote.changed();
  for (const peer of peers) {
    await t.test(peer.kind, async (t) => {
      await peer.hears('notifications/tools/list_changed');
      t.same((await namesOf(peer)).toSorted(), ['plain', 'twice']);
      const before = remote.calls('sql').length;
      t.equal((await errorOf(peer.call('sql', { region: 1 }))).code, REFUSED);
      t.equal(remote.calls('sql').length, before);
      await peer.call('twice', { region: 'eu' });
      t.same(remote.calls('twice').at(-1)?.mirrored, { 'mcp-param-region': 'eu' });
    });
  }
});

t.test('asleep, and awake again', async (t) => {
  const remote = await remoteModern(t, ALL);
  const daemon = await start(t, remote, { idle_timeout: '500ms' });
  const { url, token } = addressOf(daemon);
  const asleep = async (): Promise<boolean> => (await daemon.call('GET', '/v1/tools/far')).json.runs.length === 0;
  for (const kind of PEER_KINDS) {
    await t.test(kind, async (t) => {
      const peer = await connectPeer(t, { kind, name: kind, to: { url: `${url}/mcp/far`, token } });
      await peer.call('sql', { region: 'eu' });
      await waitFor('it to sleep', asleep);
      t.same(await namesOf(peer), Object.keys(GOOD));
      t.ok(await asleep(), 'from what is kept');
      t.equal((await errorOf(peer.call('twice', { a: 'x' }))).code, REFUSED, 'the first that wakes it');
      t.same(remote.calls('twice'), []);
      await waitFor('it to sleep', asleep);
      const before = remote.calls('sql').length;
      await peer.call('sql', { region: 'us' });
      const calls = remote.calls('sql').slice(before);
      t.same(
        calls.map(({ mirrored }) => mirrored),
        [{ 'mcp-param-region': 'us' }],
      );
    });
  }
});
