/** The cache before the real pool on the real registry; servers are the test's. */

import t, { type Test } from 'tap';
import { ResourceCache } from '../../../../lib/client/resource-cache.ts';
import type { CacheOptions } from '../../../../lib/client/cache-types.ts';
import { AnswerCache } from '../../../../lib/mcp/cache/answer-cache.ts';
import { readKey } from '../../../../lib/mcp/cache/cacheable.ts';
import { cachedServers } from '../../../../lib/mcp/cache/cached-servers.ts';
import { report, selectorOf } from '../../../../lib/mcp/cache/report.ts';
import type { CallRecord } from '../../../../lib/mcp/calls/account.ts';
import type { Answer, Fields, NotificationBody } from '../../../../lib/mcp/wire/message.ts';
import { META } from '../../../../lib/mcp/wire/protocol.ts';
import type { Session } from '../../../../lib/mcp/wire/session.ts';
import type { ToolDefinition } from '../../../../lib/supervisor/governor.ts';
import { FakeLevel } from '../../../helpers/fake-level.ts';
import type { Asked } from '../../../helpers/fake-upstream.ts';
import { isGovernorError } from '../../../helpers/governor-error.ts';
import { settled } from '../../../helpers/manual-time.ts';
import { gate } from '../../../helpers/pool.ts';
import { exchangeOf, poolStand, type FakeClient, type PoolStand } from '../../../helpers/pool-stand.ts';

interface CacheStand extends PoolStand {
  readonly entries: ResourceCache<Fields>;
  readonly cache: AnswerCache;
  readonly answeredCalls: CallRecord[];
  readonly counted: string[];
  /** What the server says beside the contents of each read. */
  hints: (uri: string) => Fields;
  /** What the server answers to each read. */
  onRead: (asked: Asked) => Answer | Promise<Answer>;
  enter(client: FakeClient, tool?: string): Session;
  read(session: Session, uri?: string, signal?: AbortSignal): Promise<Answer>;
  /** Reads that a server was asked for. */
  asked(uri?: string): number;
}

function stand(t: Test, options: CacheOptions = {}, directory?: string): CacheStand {
  const answeredCalls: CallRecord[] = [];
  const counted: string[] = [];
  const entries = new ResourceCache<Fields>(options);
  t.teardown(() => entries.close());
  let cache!: AnswerCache;
  const pool = poolStand(t, {
    ...(directory === undefined ? {} : { directory }),
    stale: (tools) =>
      (cache = new AnswerCache({
        entries,
        tools,
        defaultTtlMs: 900_000,
        monotonicMs: () => 0,
        onServed: (record) => void answeredCalls.push(record),
        onAsked: (tool) => void counted.push(`asked ${tool}`),
        onJoined: (tool) => void counted.push(`joined ${tool}`),
      })),
  });
  pool.hooks.onTools = (tool) => {
    cache.refresh(tool);
    pool.pool.refresh(tool);
  };
  const servers = cachedServers(pool.pool, cache);
  const clients = new WeakMap<Session, FakeClient>();
  const self: CacheStand = Object.assign(pool, {
    entries,
    cache,
    answeredCalls,
    counted,
    hints: (): Fields => ({}),
    onRead: () => result({}),
    enter(client: FakeClient, tool = 'tool') {
      const session = servers.open(tool, client);
      clients.set(session, client);
      return session;
    },
    read: (session: Session, uri = 'a', signal?: AbortSignal) =>
      session.request({ method: 'resources/read', params: { uri } }, exchangeOf(clients.get(session), signal)),
    asked: (uri = 'a') =>
      pool.servers
        .flatMap((server) => server.asked)
        .filter(({ request }) => request.method === 'resources/read' && request.params?.['uri'] === uri).length,
  });
  pool.offer.capabilities = { tools: {}, resources: { subscribe: true }, logging: {} };
  let count = 0;
  self.onRead = ({ request }) =>
    result({ contents: [{ text: `read ${++count}` }], ...self.hints(String(request.params?.['uri'])) });
  pool.offer.behaviour = (asked) => {
    const { method } = asked.request;
    if (method === 'resources/list') return result({ resources: [] });
    return method === 'resources/read' ? self.onRead(asked) : result({});
  };
  return self;
}

const result = (fields: Fields): Answer => ({ kind: 'result', result: fields });
const text = (answer: Answer): unknown =>
  answer.kind === 'error' ? answer.error.message : (answer.result['contents'] as readonly Fields[])[0]?.['text'];
const PUBLIC = { ttlMs: 60_000, cacheScope: 'public' };
const PRIVATE = { ttlMs: 60_000, cacheScope: 'private' };
const RULES = { cache: { ttlMs: 60_000, patterns: [] } } satisfies Partial<ToolDefinition>;

function modern(t: Test, options: CacheOptions = {}): CacheStand {
  const s = stand(t, options);
  s.offer.era = 'modern';
  s.served('tool', { sharing: 'shared' });
  return s;
}
const client = (s: CacheStand, context: string, more: Partial<FakeClient> = {}): FakeClient =>
  s.client(context, { era: 'modern', protocolVersion: '2026-07-28', ...more });

t.test('only what the server calls public is shared', async (t) => {
  const s = modern(t);
  const [one, two] = [s.enter(client(s, 'one')), s.enter(client(s, 'two'))];
  s.hints = () => PUBLIC;
  t.same([text(await s.read(one)), text(await s.read(two))], ['read 1', 'read 1']);
  s.hints = () => PRIVATE;
  t.same([text(await s.read(one, 'b')), text(await s.read(two, 'b'))], ['read 2', 'read 3']);
  t.same([text(await s.read(one, 'b')), text(await s.read(two, 'b'))], ['read 2', 'read 3'], 'each has its own');
  const third = s.enter(client(s, 'two', { info: { name: 'another' } }));
  t.equal(text(await s.read(third, 'b')), 'read 4', 'of one context, and another client');
  s.hints = () => ({ ttlMs: 0, cacheScope: 'public' });
  t.same([text(await s.read(one, 'c')), text(await s.read(one, 'c'))], ['read 5', 'read 6']);
  t.equal(s.entries.statistics().entries, 4);
});

t.test('what the server says of a resource may change', async (t) => {
  const s = modern(t);
  const [one, two] = [s.enter(client(s, 'one')), s.enter(client(s, 'two'))];
  const texts = async (): Promise<readonly unknown[]> => [text(await s.read(one)), text(await s.read(two))];
  s.hints = () => ({ ttlMs: 0 });
  t.same(await texts(), ['read 1', 'read 2']);
  s.hints = () => PUBLIC;
  t.same(await texts(), ['read 3', 'read 4'], 'it is found out with an answer');
  t.same(await texts(), ['read 4', 'read 4']);
  await s.entries.invalidate({ all: true });
  s.hints = () => PRIVATE;
  t.same(await texts(), ['read 5', 'read 6']);
  t.same(await texts(), ['read 5', 'read 6']);
  await s.entries.invalidate({ all: true });
  s.hints = () => PUBLIC;
  t.same(await texts(), ['read 7', 'read 7'], 'from private to public');
});

t.test('one request for all who ask meanwhile, and none gets what is not for it', async (t) => {
  const s = modern(t);
  const [one, two] = [s.enter(client(s, 'one')), s.enter(client(s, 'two'))];
  const answers = [gate<Fields>(), gate<Fields>(), gate<Fields>()];
  let asked = 0;
  s.onRead = async () => result({ contents: [{ text: `of ${asked}` }], ...(await answers[asked++]!.passed) });
  const first = [s.read(one), s.read(two), s.read(two)];
  await settled();
  t.equal(asked, 1);
  answers[0]!.open(PUBLIC);
  t.same((await Promise.all(first)).map(text), ['of 0', 'of 0', 'of 0']);
  t.same(s.counted, ['asked tool', 'joined tool', 'joined tool']);
  t.match(s.answeredCalls, [
    { context: 'two', run: null, method: 'resources/read', name: 'a', outcome: 'ok', cpuTimeMs: 0 },
    { context: 'two' },
  ]);
  const second = [s.read(one, 'b'), s.read(two, 'b')];
  await settled();
  t.equal(asked, 2);
  answers[1]!.open(PRIVATE);
  answers[2]!.open(PRIVATE);
  const [mine, other] = await Promise.all(second);
  t.not(text(mine!), text(other!), 'the other asks for itself when it turns out to be private');
  t.equal(asked, 3);
});

t.test('an error is for whom it was sent; whoever waited asks for itself', async (t) => {
  const s = modern(t);
  const [one, two] = [s.enter(client(s, 'one')), s.enter(client(s, 'two'))];
  const first = gate<Answer>();
  let asked = 0;
  s.onRead = () => (asked++ === 0 ? first.passed : result({ contents: [{ text: 'fine' }], ...PUBLIC }));
  const both = [s.read(one), s.read(two)];
  await settled();
  first.open({ kind: 'error', error: { code: -32_602, message: 'not for you', data: { uri: 'a' } } });
  t.same(await both[0], { kind: 'error', error: { code: -32_602, message: 'not for you', data: { uri: 'a' } } });
  t.equal(text(await both[1]!), 'fine');
  t.equal(s.entries.statistics().entries, 1);
});

t.test('who asked first may go; the others get their answer', async (t) => {
  const s = modern(t);
  const [one, two] = [s.enter(client(s, 'one')), s.enter(client(s, 'two'))];
  const answer = gate<Answer>();
  const signals: AbortSignal[] = [];
  s.onRead = ({ exchange }) => {
    signals.push(exchange.signal);
    return answer.passed;
  };
  const gone = new AbortController();
  const both = [s.read(one, 'a', gone.signal), s.read(two)];
  await settled();
  gone.abort(new Error('closed'));
  t.match(await both[0], { kind: 'error', error: { message: /closed/ } });
  t.equal(signals[0]!.aborted, false);
  answer.open(result({ contents: [{ text: 'there' }], ...PUBLIC }));
  t.equal(text(await both[1]!), 'there');
  const last = new AbortController();
  s.onRead = ({ exchange }) => {
    signals.push(exchange.signal);
    return new Promise(() => undefined);
  };
  const alone = s.read(one, 'b', last.signal);
  await settled();
  last.abort(new Error('closed'));
  await alone;
  t.equal(signals[1]!.aborted, true, 'with the last of them the server is told');
  t.match(await s.read(one, 'c', AbortSignal.abort(new Error('before'))), { error: { message: /before/ } });
});

t.test('a question of the server is for whom it was sent', async (t) => {
  const s = modern(t);
  const [one, two] = [s.enter(client(s, 'one')), s.enter(client(s, 'one'))];
  let asked = 0;
  s.onRead = () => result({ resultType: 'input_required', requestState: `state ${++asked}`, ...PUBLIC });
  const both = await Promise.all([s.read(one), s.read(two)]);
  t.not((both[0] as { result: Fields }).result['requestState'], (both[1] as { result: Fields }).result['requestState']);
  t.equal(s.entries.statistics().entries, 0);
});

t.test('what a client reads while it answers its server does not wait for what waits for the answer', async (t) => {
  const s = modern(t);
  s.hints = () => PUBLIC;
  const clients = [client(s, 'one'), client(s, 'one'), client(s, 'two')];
  const [one, again, two] = clients.map((each) => s.enter(each)) as [Session, Session, Session];
  const plain = s.onRead;
  let answered!: Promise<void>;
  const open = gate<void>();
  const nested: unknown[] = [];
  s.onRead = async (asked) => {
    s.onRead = plain;
    // Its client reads the same, and so does another through whom it might find out.
    answered = s.servers[0]!.asks('one', async () => {
      await open.passed;
      nested.push(text(await s.read(one)), text(await s.read(two)));
    });
    await answered;
    return plain(asked);
  };
  const first = s.read(one);
  await settled();
  open.open();
  await answered;
  t.same(nested, ['read 1', 'read 1'], 'both got theirs before the first one had its own');
  t.equal(text(await first), 'read 2');
  t.equal(s.entries.statistics().loading, 0);
  t.equal(text(await s.read(again)), 'read 1', 'what was asked for last is kept');

  const asked = s.asked();
  await s.entries.invalidate({ all: true });
  const slow = gate<void>();
  s.onRead = async (each) => {
    await slow.passed;
    return plain(each);
  };
  const both = [s.read(one), s.read(two)];
  await settled();
  slow.open();
  await Promise.all(both);
  t.equal(s.asked(), asked + 1, 'once it is answered, one request serves all again');
});

t.test('who waits already, of the client that is asked, asks for itself', async (t) => {
  const s = modern(t);
  s.hints = () => PUBLIC;
  const [one, again, two] = [s.enter(client(s, 'one')), s.enter(client(s, 'one')), s.enter(client(s, 'two'))];
  const plain = s.onRead;
  const go = gate<void>();
  s.onRead = async (asked) => {
    s.onRead = plain;
    await go.passed;
    // It cannot answer before its other read has.
    await s.servers[0]!.asks('one', () => waiting);
    return plain(asked);
  };
  const first = s.read(one);
  await settled();
  const waiting = s.read(again);
  const other = s.read(two);
  await settled();
  t.equal(s.asked(), 1);
  go.open();
  t.equal(text(await waiting), 'read 1');
  t.same([text(await first), text(await other)], ['read 2', 'read 2'], 'of another context: it still waited');
  t.equal(text(await s.read(two)), 'read 1', 'the later request is what is kept');
});

t.test('a context that has ended leaves nothing that is its own', async (t) => {
  const s = modern(t);
  const [one, two] = [s.enter(client(s, 'one')), s.enter(client(s, 'two'))];
  s.hints = (uri) => (uri === 'public' ? PUBLIC : PRIVATE);
  for (const uri of ['public', 'private']) for (const session of [one, two]) await s.read(session, uri);
  const answer = gate<void>();
  const plain = s.onRead;
  s.onRead = async (asked) => {
    await answer.passed;
    return plain(asked);
  };
  // The other waits for what turns out to be private to the first, which goes meanwhile.
  const both = [s.read(one, 'late'), s.read(two, 'late')];
  await settled();
  await one.close('ended');
  s.cache.endContext('one');
  answer.open();
  await Promise.all(both);
  t.same(
    s.entries
      .entries()
      .map(({ key, uri }) => [uri, readKey(key).context])
      .toSorted(),
    [
      ['late', 'two'],
      ['private', 'two'],
      ['public', null],
    ],
  );
  const asked = s.asked('private');
  await s.read(s.enter(client(s, 'one')), 'private');
  t.equal(s.asked('private'), asked + 1, 'whoever has the name now has to ask');
});

t.test('somebody else is signed in: nothing of the tool is kept', async (t) => {
  const s = modern(t);
  const one = s.enter(client(s, 'one'));
  s.hints = (uri) => (uri === 'public' ? PUBLIC : PRIVATE);
  for (const uri of ['public', 'private']) await s.read(one, uri);
  s.cache.forget('another');
  t.equal(s.entries.statistics().entries, 2);
  s.cache.forget('tool');
  t.equal(s.entries.statistics().entries, 0);
});

t.test('another default time, none, and one again', async (t) => {
  const s = stand(t);
  s.served('tool', { sharing: 'shared', cache: { ttlMs: null, patterns: [{ uri: 'a', ttlMs: null, scope: null }] } });
  s.served('fixed', { sharing: 'shared', ...RULES });
  const one = s.enter(s.client('one'));
  const fixed = s.enter(s.client('one'), 'fixed');
  await s.read(one);
  await s.read(fixed);
  s.cache.setDefaultTtl(900_000);
  t.equal(s.entries.statistics().entries, 2, 'the same');
  s.cache.setDefaultTtl(1_000);
  t.same(
    s.entries.entries().map(({ group }) => group),
    ['fixed'],
    'only what had the former time is gone',
  );
  await s.read(one);
  const [entry] = s.entries.entries().filter(({ group }) => group === 'tool');
  t.equal((entry?.expiresMs ?? 0) - (entry?.createdMs ?? 0), 1_000);
  s.cache.setDefaultTtl(null);
  t.equal(s.entries.statistics().entries, 0);
  await s.read(one);
  await s.read(one);
  t.equal(s.entries.statistics().entries, 0, 'off');
  s.cache.setDefaultTtl(1_000);
  t.equal(text(await s.read(one)), text(await s.read(one)), 'on again');
});

t.test('what the server says to be stale is not served, and a request under way is not kept', async (t) => {
  const s = modern(t);
  const one = s.enter(client(s, 'one'));
  s.hints = () => PUBLIC;
  for (const uri of ['dir', 'dir/a', 'dir/b']) await s.read(one, uri);
  const [server] = s.servers;
  server!.stale({ kind: 'resource', uri: 'dir/a' });
  t.same(
    s.entries.entries().map(({ uri }) => uri),
    ['dir/b'],
    'nor what it is a part of',
  );
  const behaviour = s.onRead;
  const answer = gate<Answer>();
  s.onRead = () => answer.passed;
  const slow = s.read(one, 'dir/a');
  await settled();
  server!.stale({ kind: 'resource', uri: 'dir/a' });
  s.onRead = behaviour;
  const fresh = await s.read(one, 'dir/a');
  answer.open(result({ contents: [{ text: 'old' }], ...PUBLIC }));
  t.equal(text(await slow), 'old');
  t.equal(text(await s.read(one, 'dir/a')), text(fresh), 'the old one has not come back');
  await one.request({ method: 'tools/list' }, exchangeOf(undefined));
  server!.stale({ kind: 'list', list: 'prompts' });
  t.equal(s.entries.statistics().entries, 2);
  server!.stale({ kind: 'list', list: 'resources' });
  t.equal(s.entries.statistics().entries, 0, 'what is read goes with the list of resources');
});

t.test('a server that was started again and offers something else', async (t) => {
  const s = modern(t);
  const one = s.enter(client(s, 'one'));
  s.hints = () => PUBLIC;
  await s.read(one);
  await settled();
  await s.registry.deactivate('tool');
  t.equal(text(await s.read(one)), 'read 1', 'kept while nothing runs');
  t.equal(s.servers.length, 1);
  s.offer.tools = ['one', 'two'];
  await s.read(one, 'b');
  await settled();
  t.equal(s.servers.length, 2);
  t.same(s.entries.entries(), [], 'what the former one has said');
});

t.test('a sleeping server is not woken; its log level waits', async (t) => {
  const s = stand(t);
  s.served('tool', { ...RULES, sharing: 'shared' });
  const one = s.enter(s.client('one'));
  await s.read(one);
  await settled();
  await s.registry.deactivate('tool');
  t.same(
    await one.request({ method: 'logging/setLevel', params: { level: 'debug' } }, exchangeOf(undefined)),
    result({}),
  );
  t.equal(text(await s.read(one)), 'read 1');
  t.match(await one.request({ method: 'resources/list' }, exchangeOf(undefined)), { result: { resources: [] } });
  t.equal(s.servers.length, 1);
  t.equal(s.entries.statistics().entries, 1, 'a list of a sleeping server is not kept as if it were fresh');
  await s.read(one, 'b');
  await settled();
  t.equal(s.servers.length, 2);
  t.ok(
    s.servers[1]!.asked.some(
      ({ request }) => request.method === 'logging/setLevel' && request.params?.['level'] === 'debug',
    ),
    'set when it has something to do',
  );
  const wrong = await one.request({ method: 'logging/setLevel', params: { level: 'loud' } }, exchangeOf(undefined));
  t.ok(s.servers[1]!.methods().includes('logging/setLevel'), JSON.stringify(wrong));
});

t.test('an older server: nothing by itself, by subscription until it ends', async (t) => {
  const s = stand(t);
  s.hints = () => PUBLIC;
  s.served('tool', { sharing: 'shared' });
  const one = s.enter(s.client('one'));
  const two = s.enter(s.client('two'));
  const ask = (method: string, session = one): Promise<Answer> =>
    session.request({ method, params: { uri: 'a' } }, exchangeOf(undefined));
  const reads = async (session = one): Promise<boolean> => text(await s.read(session)) === text(await s.read(session));
  t.notOk(await reads(), 'it has no hints');
  await ask('resources/subscribe');
  t.ok(await reads());
  t.notOk(await reads(two), 'the other has not subscribed');
  s.servers[0]!.stale({ kind: 'resource', uri: 'a' });
  t.equal(s.entries.statistics().entries, 0);
  t.ok(await reads());
  await ask('resources/unsubscribe');
  t.equal(s.entries.statistics().entries, 0);
  t.notOk(await reads());
  await ask('resources/subscribe');
  t.ok(await reads());
  await s.registry.deactivate('tool');
  t.equal(s.entries.statistics().entries, 0, 'nobody tells of changes any more');
  t.notOk(await reads(), 'until it is asked for again');
  await ask('resources/subscribe');
  t.ok(await reads());
  one.notify({ method: 'notifications/roots/list_changed' });
  t.equal(s.entries.statistics().entries, 0);
  await ask('resources/subscribe');
  await s.read(one);
  await one.close('done');
  t.equal(s.entries.statistics().entries, 0);
  s.offer.behaviour = ({ request }) =>
    request.method === 'resources/subscribe'
      ? { kind: 'error', error: { code: -32_601, message: 'no' } }
      : result({ contents: [] });
  await ask('resources/subscribe', two);
  await s.read(two);
  t.equal(s.entries.statistics().entries, 0, 'it has not agreed');
});

t.test('a read under way when its process ends is not kept for its subscription', async (t) => {
  const s = stand(t);
  s.served('tool', { sharing: 'shared' });
  const one = s.enter(s.client('one'));
  await one.request({ method: 'resources/subscribe', params: { uri: 'a' } }, exchangeOf(undefined));
  const answer = gate<Answer>();
  s.onRead = () => answer.passed;
  const slow = s.read(one);
  await settled();
  answer.open(result({ contents: [{ text: 'old' }] }));
  const stopped = s.registry.deactivate('tool');
  await slow;
  await stopped;
  t.equal(s.entries.statistics().entries, 0);
});

t.test('clients with roots have their own, and other roots are another client', async (t) => {
  const s = stand(t);
  s.served('tool', { ...RULES, sharing: 'context' });
  const rooted = { capabilities: { roots: {} }, roots: ['file:///one'] };
  const [one, two] = [s.enter(s.client('chat', rooted)), s.enter(s.client('chat', rooted))];
  const [plain, alike] = [s.enter(s.client('chat')), s.enter(s.client('chat'))];
  t.same([text(await s.read(one)), text(await s.read(two)), text(await s.read(one))], ['read 1', 'read 2', 'read 1']);
  t.same([text(await s.read(plain)), text(await s.read(alike))], ['read 3', 'read 3']);
  one.notify({ method: 'notifications/roots/list_changed' });
  t.same([text(await s.read(one)), text(await s.read(two))], ['read 4', 'read 2']);
});

t.test('what is kept tells a modern client how long it is good for', async (t) => {
  const clock = { ms: 0 };
  const s = modern(t, { monotonicMs: () => clock.ms });
  s.hints = (uri) => (uri === 'private' ? PRIVATE : { ...PUBLIC, _meta: { kept: true }, more: 1 });
  const [one, older] = [s.enter(client(s, 'one')), s.enter(client(s, 'two', { frontEra: 'legacy' }))];
  t.match(await s.read(one), result({ ttlMs: 60_000, cacheScope: 'public', _meta: { kept: true }, more: 1 }));
  clock.ms = 20_000.5;
  t.match(await s.read(one), result({ ttlMs: 39_999, cacheScope: 'public', _meta: { kept: true }, more: 1 }));
  t.match(await s.read(older), result({ ttlMs: 60_000 }), 'a legacy client is shown none of this anyway');
  await s.read(one, 'private');
  t.match(await s.read(one, 'private'), result({ ttlMs: 60_000, cacheScope: 'private' }));
  await s.redefine('tool', { cache: { ttlMs: null, patterns: [{ uri: '{x}', ttlMs: 5_000, scope: 'public' }] } });
  await s.read(one, 'private');
  t.match(await s.read(one, 'private'), result({ ttlMs: 5_000, cacheScope: 'private' }), 'and never more than it said');

  const l = stand(t);
  l.served('tool', { cache: { ttlMs: 7_000, patterns: [{ uri: 'p', ttlMs: 5_000, scope: 'public' }] } });
  const [fresh, old] = [l.enter(l.client('one', { frontEra: 'modern' })), l.enter(l.client('two'))];
  t.match(await l.read(fresh, 'p'), result({ ttlMs: 5_000, cacheScope: 'public' }));
  t.match(await l.read(fresh, 'q'), result({ ttlMs: 7_000, cacheScope: 'private' }));
  t.notOk('ttlMs' in ((await l.read(old, 'p')) as { result: Fields }).result);
  await fresh.request({ method: 'resources/subscribe', params: { uri: 'n' } }, exchangeOf(undefined));
});

t.test('an entry that ends with a subscription promises nothing', async (t) => {
  const s = stand(t);
  s.served('tool');
  const one = s.enter(s.client('one', { frontEra: 'modern' }));
  await one.request({ method: 'resources/subscribe', params: { uri: 'a' } }, exchangeOf(undefined));
  await s.read(one);
  t.match(await s.read(one), result({ contents: [{ text: 'read 1' }], ttlMs: 0, cacheScope: 'private' }));
});

t.test('other settings and another server drop what was kept; unregistering drops everything', async (t) => {
  const s = stand(t);
  s.served('tool', RULES);
  const one = s.enter(s.client('one'));
  await s.read(one);
  await s.redefine('tool', { graceMs: 1_234 });
  t.equal(s.entries.statistics().entries, 1, 'what has nothing to do with it changes nothing');
  await s.redefine('tool', { cache: { ttlMs: 60_000, patterns: [{ uri: 'b', ttlMs: 0, scope: null }] } });
  t.equal(s.entries.statistics().entries, 0);
  const reads = async (uri: string): Promise<boolean> => text(await s.read(one, uri)) === text(await s.read(one, uri));
  t.same([await reads('a'), await reads('b')], [true, false]);
  await s.redefine('tool', { env: { OTHER: '1' } });
  t.equal(s.entries.statistics().entries, 0, 'another server');
  t.ok(await reads('a'));
  await s.redefine('tool', { cache: 'off' });
  t.same([s.entries.statistics().entries, await reads('a')], [0, false]);
  await s.redefine('tool', RULES);
  const answer = gate<Answer>();
  s.onRead = () => answer.passed;
  const slow = s.read(one, 'late');
  await settled();
  const gone = s.registry.unregister('tool');
  answer.open(result({ contents: [] }));
  await slow;
  await gone;
  t.equal(s.entries.statistics().entries, 0);
  t.match(await s.read(one), { kind: 'error' });
});

t.test('only what all callers may have is in the second level, and only it is told of changes there', async (t) => {
  const level = new FakeLevel();
  const s = modern(t, { secondLevel: level });
  const [one, two] = [s.enter(client(s, 'one')), s.enter(client(s, 'two'))];
  s.hints = (uri) => (uri === 'p' ? PUBLIC : PRIVATE);
  for (const uri of ['p', 'q', 'q']) await s.read(one, uri);
  await s.read(two, 'q');
  await settled();
  t.same(
    [...level.stored.values()].map(({ id }) => id.uri),
    ['p'],
  );
  t.notOk(
    [...level.stored.keys()].some((key) => key.includes('one')),
    'no key of a caller',
  );
  s.servers[0]!.stale({ kind: 'resource', uri: 'p' });
  await settled();
  t.equal(level.log.at(-1), 'invalidate {"uri":"p","group":"tool","above":true}');
  t.equal(level.stored.size, 0);

  const other = new FakeLevel();
  const l = stand(t, { secondLevel: other });
  l.served('tool', RULES);
  const legacy = l.enter(l.client('one'));
  await l.read(legacy);
  l.servers[0]!.stale({ kind: 'resource', uri: 'a' });
  await l.redefine('tool', { cache: 'off' });
  await settled();
  t.same(other.log, [], 'of a tool that shares nothing');
});

t.test('a request with more to it goes to the server', async (t) => {
  const s = modern(t);
  s.hints = () => PUBLIC;
  const one = s.enter(client(s, 'one'));
  const ask = (meta: Fields): Promise<Answer> =>
    one.request({ method: 'resources/read', params: { uri: 'a', _meta: meta } }, exchangeOf(undefined));
  t.equal(text(await ask({ [META.logLevel]: 'debug' })), text(await ask({ progressToken: 1 })));
  t.not(text(await ask({ 'example.org/tenant': 1 })), text(await ask({ 'example.org/tenant': 1 })));
});

t.test('progress and questions of the first request pass', async (t) => {
  const s = modern(t);
  const one = client(s, 'one', { roots: ['file:///r'] });
  s.onRead = async ({ exchange }) => {
    exchange.notify({ method: 'notifications/progress', params: { progressToken: 7, progress: 1 } });
    const roots = await exchange.ask({ method: 'roots/list' }, new AbortController().signal);
    return result({ contents: [{ text: JSON.stringify(roots) }], ...PUBLIC });
  };
  t.match(text(await s.read(s.enter(one))), /file:\/\/\/r/);
  t.match(one.heard as NotificationBody[], [{ method: 'notifications/progress', params: { progressToken: 7 } }]);
});

t.test('what it tells of its entries', async (t) => {
  const s = modern(t);
  await s.redefine('tool', {
    cache: { ttlMs: null, patterns: [{ uri: 'db://{t}/{+r}', ttlMs: null, scope: 'public' }] },
  });
  s.hints = () => PRIVATE;
  const one = s.enter(client(s, 'one'));
  await s.read(one, 'db://users/7/x');
  await s.read(one, 'other');
  await one.request({ method: 'resources/list' }, exchangeOf(undefined));
  const see = (filter: Parameters<typeof report>[2] = {}) =>
    report(s.entries.statistics(), s.entries.entries(), filter).entries;
  t.match(see(), [
    { tool: 'tool', method: 'resources/read', uri: 'other', scope: 'caller', context: 'one', pattern: null },
    {
      uri: 'db://users/7/x',
      scope: 'public',
      context: null,
      pattern: { template: 'db://{t}/{+r}', parameters: { t: 'users', r: '7/x' } },
      accessCount: 0,
    },
  ]);
  t.equal(see({ tool: 'another' }).length, 0);
  t.equal(see({ tool: 'tool', uri: 'other' }).length, 1);
  t.equal(see({ pattern: 'db://{t}/{+r}' }).length, 1);
  t.throws(() => selectorOf({ uri: 'a', pattern: 'b' }), isGovernorError('invalid_request'));
  t.throws(() => see({ pattern: '{' }), isGovernorError('invalid_request'));
});
