import t from 'tap';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import { DISCOVERED, FakeChannel, INITIALIZED, scene } from '../../../helpers/fake-channel.ts';
import type { UpstreamScene } from '../../../helpers/fake-channel.ts';
import { isGovernorError } from '../../../helpers/governor-error.ts';
import { manualTime, settled } from '../../../helpers/manual-time.ts';

const DISCOVER = 'server/discover';
const refuse = (code: number, message: string, data?: unknown) => () => ({
  error: { code, message, ...(data === undefined ? {} : { data }) },
});

function methods({ channel }: UpstreamScene): readonly string[] {
  return channel.sent.map((message) => ('method' in message ? message.method : 'answer'));
}

function failed(message: RegExp) {
  return { ...isGovernorError('launch_failed'), message };
}

t.test('a modern server: one question, its whole answer', async (t) => {
  const raw = { ...DISCOVERED, instructions: 'be kind', vendor: { field: 1 } };
  const server = scene(new FakeChannel({ [DISCOVER]: () => raw }), { era: null });
  t.same(await server.upstream.ready(), {
    era: 'modern',
    protocolVersion: '2026-07-28',
    info: { name: 'fake', version: '1' },
    capabilities: { tools: {} },
    instructions: 'be kind',
    raw,
  });
  t.same(methods(server), [DISCOVER]);
  t.same(server.channel.last(DISCOVER).params['_meta'], {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'governor', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': { sampling: {}, elicitation: {}, roots: {} },
  });
  t.match(server.upstream.state, { kind: 'ready', sinceMs: 1_000 });
});

t.test('any other answer is legacy', async (t) => {
  const answers: Record<string, FakeChannel['handlers'][string]> = {
    'no such method': refuse(-32_601, 'Method not found'),
    'not initialized': refuse(-32_602, 'Received request before initialization was complete'),
    'a code of its own': refuse(0, 'eh?'),
    'the code without versions': refuse(RPC_CODE.unsupportedVersion, 'no'),
    'a result that names no versions': () => ({}),
    'both eras, and none of the modern versions that we know': refuse(RPC_CODE.unsupportedVersion, 'no', {
      supported: ['2027-01-01', '2025-11-25'],
    }),
    'the same as a result': () => ({ ...DISCOVERED, supportedVersions: ['2027-01-01', '2025-06-18'] }),
  };
  for (const [name, handler] of Object.entries(answers)) {
    const server = scene(new FakeChannel({ [DISCOVER]: handler, initialize: () => INITIALIZED }), { era: null });
    t.match(await server.upstream.ready(), { era: 'legacy', protocolVersion: '2025-11-25', raw: INITIALIZED }, name);
    t.same(methods(server), [DISCOVER, 'initialize', 'notifications/initialized'], name);
  }
});

t.test('neither era: refused with both sides’ versions', async (t) => {
  for (const handler of [
    refuse(RPC_CODE.unsupportedVersion, 'no', { supported: ['2031-01-01', '2030-01-01'] }),
    () => ({ ...DISCOVERED, supportedVersions: ['2031-01-01', '2030-01-01'] }),
  ]) {
    const server = scene(new FakeChannel({ [DISCOVER]: handler }), { era: null });
    await t.rejects(
      server.upstream.ready(),
      failed(/it speaks 2031-01-01, 2030-01-01, and Governor 2026-07-28, 2025-/),
    );
    t.match(server.upstream.state, { kind: 'error', reason: /2031-01-01/ });
    t.equal(server.channel.closed, 1);
  }
});

t.test('silence is legacy too: initialize follows, and nothing else before it', async (t) => {
  const time = manualTime(t);
  const server = scene(new FakeChannel({ initialize: () => INITIALIZED }), { era: null });
  await time.pass(1_900);
  t.same(methods(server), [DISCOVER]);
  await time.pass(200);
  t.match(await server.upstream.ready(), { era: 'legacy' });
  t.same(
    methods(server),
    [DISCOVER, 'initialize', 'notifications/initialized'],
    'a legacy server takes no cancellation',
  );
  t.match(server.upstream.holds, { requests: 0 });
  server.channel.answer(server.channel.last(DISCOVER), DISCOVERED);
  await settled();
  t.match(server.upstream.state, { kind: 'ready', description: { era: 'legacy' } });
});

t.test('a modern server that is slow to start answers both, in any order', async (t) => {
  for (const first of [DISCOVER, 'initialize'] as const) {
    const time = manualTime(t);
    const server = scene(new FakeChannel(), { era: null });
    await time.pass(5_000);
    const answers = {
      [DISCOVER]: () => server.channel.answer(server.channel.last(DISCOVER), DISCOVERED),
      initialize: () => server.channel.refuse(server.channel.last('initialize'), RPC_CODE.unsupportedVersion, 'no'),
    };
    answers[first]();
    await settled();
    answers[first === DISCOVER ? 'initialize' : DISCOVER]();
    t.match(await server.upstream.ready(), { era: 'modern' }, `${first} first`);
    t.same(server.channel.notifications(), [], 'nothing of the legacy era follows');
  }
});

t.test('a legacy server that is slow to start refuses the one and answers the other', async (t) => {
  const time = manualTime(t);
  const server = scene(new FakeChannel(), { era: null });
  await time.pass(5_000);
  server.channel.refuse(server.channel.last(DISCOVER), -32_601, 'no such method');
  await settled();
  server.channel.answer(server.channel.last('initialize'), INITIALIZED);
  t.match(await server.upstream.ready(), { era: 'legacy' });
});

t.test('an era that is known is not asked for', async (t) => {
  const legacy = scene(new FakeChannel({ initialize: () => INITIALIZED }), { era: 'legacy' });
  await legacy.upstream.ready();
  t.same(methods(legacy), ['initialize', 'notifications/initialized']);
  t.match(legacy.channel.last('initialize').params, {
    protocolVersion: '2025-11-25',
    clientInfo: { name: 'governor' },
    capabilities: { sampling: {} },
  });
  const time = manualTime(t);
  const modern = scene(new FakeChannel(), { era: 'modern' });
  await time.pass(5_000);
  t.same(methods(modern), [DISCOVER], 'silence is waited for');
  modern.channel.answer(modern.channel.last(DISCOVER), DISCOVERED);
  t.match(await modern.upstream.ready(), { era: 'modern' });
});

t.test('a server that was replaced by one of the other era', async (t) => {
  const newer = scene(
    new FakeChannel({
      initialize: refuse(RPC_CODE.unsupportedVersion, 'no', { supported: ['2026-07-28'] }),
      [DISCOVER]: () => DISCOVERED,
    }),
    { era: 'legacy' },
  );
  t.match(await newer.upstream.ready(), { era: 'modern' });
  const older = scene(
    new FakeChannel({ initialize: () => INITIALIZED, [DISCOVER]: refuse(-32_601, 'no such method') }),
    { era: 'modern' },
  );
  t.match(await older.upstream.ready(), { era: 'legacy' });
});

t.test('a server that goes when it is asked: the error says that the question may be why', async (t) => {
  const leaving = scene(new FakeChannel(), { era: null });
  await settled(1);
  leaving.channel.end();
  const probed = failed(/handshake failed: the server has gone: it closed its output/);
  await t.rejects(leaving.upstream.ready(), { ...probed, data: { probe: 'server/discover' } });
  t.same(methods(leaving), [DISCOVER]);
  for (const era of ['legacy', 'modern'] as const) {
    const known = scene(new FakeChannel(), { era });
    await settled(1);
    known.channel.end();
    const error = await known.upstream.ready().then(
      () => null,
      (thrown: Error & { data: unknown }) => thrown,
    );
    t.match(error, probed);
    t.same(error?.data, {}, `${era}: it is no hint where the era is known`);
  }
});

t.test('answers to initialize that are none', async (t) => {
  const cases: readonly (readonly [name: string, result: FakeChannel['handlers'][string], message: RegExp])[] = [
    ['an error', refuse(-32_000, 'no licence'), /failed: no licence/],
    ['no version', () => ({ capabilities: {} }), /names no protocol version/],
    [
      'an unknown version',
      () => ({ ...INITIALIZED, protocolVersion: '1999-01-01' }),
      /speaks 1999-01-01, and Governor/,
    ],
    ['no date', () => ({ ...INITIALIZED, protocolVersion: 'latest' }), /speaks latest/],
    ['a modern one', () => ({ ...INITIALIZED, protocolVersion: '2026-07-28' }), /speaks 2026-07-28/],
    ['no capabilities', () => ({ protocolVersion: '2025-11-25' }), /tells no capabilities/],
  ];
  for (const [name, initialize, message] of cases) {
    const server = scene(new FakeChannel({ initialize }));
    await t.rejects(server.upstream.ready(), failed(message), name);
    t.same(server.channel.notifications(), [], `${name}: it is not told that it is initialized`);
  }
  for (const protocolVersion of ['2025-06-18', '2025-03-26', '2024-11-05', '2024-10-07']) {
    const server = scene(new FakeChannel({ initialize: () => ({ ...INITIALIZED, protocolVersion }) }));
    t.match(await server.upstream.ready(), { protocolVersion });
  }
});

t.test('an error of a server is kept short, and no half of a secret in it', async (t) => {
  for (let before = 930; before <= 1_000; before += 7) {
    const said = `${'. '.repeat(500).slice(0, before)}https://u:${'Zx9Secret'.repeat(5)}@host/ ${'. '.repeat(5_000)}`;
    const server = scene(new FakeChannel({ initialize: refuse(-32_000, said) }));
    const { message } = await server.upstream.ready().then(
      () => new Error('it is ready'),
      (error: Error) => error,
    );
    t.match(message, /failed: \. \. /);
    t.ok(message.length < 1_100);
    t.notMatch(message, /Zx9|Secret|9S/, `after ${before} characters`);
  }
});

t.test('discovery without capabilities', async (t) => {
  const { capabilities: _, ...rest } = DISCOVERED;
  const server = scene(new FakeChannel({ [DISCOVER]: () => rest }), { era: null });
  await t.rejects(server.upstream.ready(), failed(/tells no capabilities/));
});

t.test('timed out: every waiter hears it, initialize is not cancelled, the channel is closed', async (t) => {
  for (const era of ['legacy', 'modern', null] as const) {
    const time = manualTime(t);
    const server = scene(new FakeChannel(), { era, timeoutMs: 30_000 });
    const early = server.join().begin('tools/list').answer;
    const waiters = [server.upstream.ready(), server.upstream.ready()];
    for (const waiter of waiters) waiter.catch(() => undefined);
    await time.pass(29_900);
    t.match(server.upstream.state, { kind: 'initializing' });
    await time.pass(200);
    for (const waiter of [...waiters, server.upstream.ready()])
      await t.rejects(waiter, failed(/it timed out after 30000 ms/), `${era}`);
    t.match(await early, { kind: 'error', error: { message: /timed out/ } });
    t.match(server.upstream.state, { kind: 'error' });
    t.same(server.channel.notifications(), []);
    t.equal(server.channel.closed, 1);
    t.equal(time.pending, 0, 'no timer is left');
  }
});

t.test('closed in the middle', async (t) => {
  const server = scene(new FakeChannel());
  const reasons: string[] = [];
  server.upstream.onEnd((reason) => void reasons.push(reason));
  await settled(1);
  await server.upstream.close('the tool was removed');
  await t.rejects(server.upstream.ready(), failed(/the tool was removed/));
  t.match(server.upstream.state, { kind: 'shutdown', reason: 'the tool was removed' });
  t.same(reasons, ['the tool was removed']);
});

t.test('a channel that cannot be opened', async (t) => {
  const channel = new FakeChannel();
  channel.start = () => Promise.reject(new Error('connection refused'));
  await t.rejects(scene(channel).upstream.ready(), { message: /connection refused/ });
});
