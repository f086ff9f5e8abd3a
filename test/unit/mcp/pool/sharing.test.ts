/** Who gets which process. */

import t from 'tap';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import { isGovernorError } from '../../../helpers/governor-error.ts';
import { settled } from '../../../helpers/manual-time.ts';
import type { Answer } from '../../../../lib/mcp/wire/message.ts';
import type { Exchange } from '../../../../lib/mcp/wire/session.ts';
import { GOVERNOR, poolStand, type FakeClient, type PoolStand } from '../../../helpers/pool-stand.ts';

const results = (scene: PoolStand): readonly number[] =>
  scene.servers.map((server) => server.methods().filter((method) => method === 'tools/call').length);

/** A request that hears nothing on its way; its client answers questions so. */
function exchangeOf(ask: Exchange['ask']): Exchange {
  return { signal: new AbortController().signal, notify: () => undefined, ask };
}

t.test('shared: all clients have one process, started once, which is told that it speaks with Governor', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared' });
  const sessions = ['a', 'b', 'c'].map((context) => scene.open(scene.client(context)));
  const answers = await Promise.all(sessions.map((session) => scene.call(session)));
  t.same(
    answers.map((answer) => answer.kind === 'result' && answer.result['from']),
    ['a', 'b', 'c'],
  );
  t.equal(scene.launched.length, 1);
  t.same(scene.servers[0]?.identity, GOVERNOR);
  t.equal(scene.registry.runs('tool')[0]?.context, null);
});

t.test('context: sessions of one context share, those of two do not; the server hears of its own client', async (t) => {
  const scene = poolStand(t);
  scene.served();
  const [one, same, other] = ['a', 'a', 'b'].map((context) =>
    scene.open(scene.client(context, { info: { name: `client of ${context}` } })),
  );
  for (const session of [one, same, other, one]) if (session !== undefined) await scene.call(session);
  t.same(results(scene), [3, 1]);
  t.same(
    scene.servers.map(({ identity }) => identity.info['name']),
    ['client of a', 'client of b'],
  );
  t.same(
    scene.registry.contexts().map(({ id }) => id),
    ['a', 'b'],
  );
});

t.test('call: each request has its own process, which ends with the answer', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'call' });
  const session = scene.open(scene.client('a'));
  await Promise.all([scene.call(session), scene.call(session)]);
  await scene.call(session, 'resources/read', { uri: 'x:1' });
  await scene.time.pass(100);
  t.equal(scene.launched.length, 3);
  t.same(
    scene.servers.map((server) => server.methods()),
    [['tools/call'], ['tools/call'], ['resources/read']],
  );
  t.equal(scene.registry.tool('tool').runs.length, 0);
  t.same(
    scene.registry.runs('tool').map(({ end }) => end?.reason),
    ['context_ended', 'context_ended', 'context_ended'],
  );
});

t.test('call: what would outlive the request is refused; a log level is set in each process', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'call' });
  const session = scene.open(scene.client('a'));
  for (const [method, params] of [
    ['resources/subscribe', { uri: 'x:1' }],
    ['tasks/get', { taskId: '1' }],
    ['tools/call', { task: {} }],
  ] as const) {
    const answer = await scene.call(session, method, params);
    t.match(answer, { kind: 'error', error: { code: RPC_CODE.methodNotFound, message: /sharing: call/ } }, method);
  }
  t.equal(scene.launched.length, 0);
  t.match(await scene.call(session, 'logging/setLevel', { level: 'debug' }), { kind: 'result' });
  await scene.call(session);
  t.same(scene.servers[0]?.methods(), ['logging/setLevel', 'tools/call']);
});

t.test('call: a question of the server goes back to the process that asked it', async (t) => {
  const scene = poolStand(t);
  scene.offer.era = 'modern';
  scene.served('tool', { sharing: 'call' });
  const session = scene.open(scene.client('a', { era: 'modern' }));
  scene.offer.behaviour = ({ request }) => ({
    kind: 'result',
    result:
      request.params?.['requestState'] === undefined
        ? { resultType: 'input_required', requestState: 'state' }
        : { resultType: 'complete' },
  });
  await scene.call(session);
  await scene.time.pass(1_000);
  t.equal(scene.registry.tool('tool').runs.length, 1, 'it waits');
  await scene.call(session, 'tools/call', { requestState: 'state' });
  await scene.time.pass(100);
  t.same(results(scene), [2]);
  t.equal(scene.registry.tool('tool').runs.length, 0);
  await scene.call(session);
  await scene.time.pass(5 * 60_000);
  t.equal(scene.registry.tool('tool').runs.length, 0, 'who does not come back is not waited for');
});

t.test('call: so many at a time, the others wait', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'call' });
  let most = 0;
  scene.offer.behaviour = async () => {
    most = Math.max(most, scene.registry.tool('tool').runs.length);
    await settled(2);
    return { kind: 'result', result: {} };
  };
  const session = scene.open(scene.client('a'));
  const answers = Promise.all(Array.from({ length: 40 }, () => scene.call(session)));
  for (let turn = 0; turn < 50; turn++) await scene.time.pass(20);
  t.ok((await answers).every(({ kind }) => kind === 'result'));
  t.equal(scene.launched.length, 40);
  t.equal(most, 16, 'at once, those that are ending included');
});

t.test('different secrets never share', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared', env: { TOKEN: 'one' } });
  const session = scene.open(scene.client('a'));
  await scene.call(session);
  await scene.redefine('tool', { env: { TOKEN: 'two' } });
  await scene.call(session);
  t.same(results(scene), [1, 1]);
});

t.test(
  'shared: clients with other roots have another process, those that cannot tell theirs one of their own',
  async (t) => {
    const scene = poolStand(t);
    scene.served('tool', { sharing: 'shared' });
    const rooted = (context: string, roots: readonly string[] | null): ReturnType<typeof scene.client> =>
      scene.client(context, { roots, capabilities: { roots: { listChanged: true } } });
    const clients = [
      rooted('a', ['file:///x']),
      rooted('b', ['file:///x']),
      rooted('c', ['file:///y']),
      rooted('d', null),
    ];
    const sessions = clients.map((client) => scene.open(client));
    for (const session of sessions) await scene.call(session);
    await scene.call(scene.open(scene.client('e')));
    t.same(results(scene), [2, 1, 1, 1]);
    const [first] = clients;
    if (first === undefined || sessions[0] === undefined) return;
    await scene.call(sessions[0]);
    t.equal(first.rootsAsked, 1, 'asked once');
    first.roots = ['file:///y'];
    sessions[0].notify({ method: 'notifications/roots/list_changed' });
    await scene.call(sessions[0]);
    t.equal(first.rootsAsked, 2);
    t.same(results(scene), [3, 2, 1, 1], 'it goes on with those whose roots it has now');
  },
);

t.test('shared: a list binds no reader to a process whose roots cannot be asked for yet', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared' });
  const clients = ['a', 'b'].map((context) => scene.client(context, { roots: null, capabilities: { roots: {} } }));
  const sessions = clients.map((client) => scene.open(client));
  for (const session of sessions)
    t.match(await scene.call(session, 'tools/list'), { kind: 'result', result: { tools: [{}] } });
  t.equal(scene.launched.length, 1);
  for (const client of clients) client.roots = ['file:///x'];
  for (const session of sessions) await scene.call(session);
  t.same(results(scene), [2], 'both call the one that has told them its list');
});

t.test('shared: a client that reads a resource for its answer about roots is not kept waiting by that', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared' });
  const [first, reader] = ['a', 'b'].map((context) =>
    scene.client(context, { roots: ['file:///x'], capabilities: { roots: {} } }),
  ) as [FakeClient, FakeClient];
  await scene.call(scene.open(first));
  const session = scene.open(reader);
  const reads: Answer[] = [];
  const exchange = exchangeOf(async () => {
    // A client hears of it later.
    await settled(1);
    reads.push(await scene.call(session, 'resources/read', { uri: 'x:roots' }));
    return { kind: 'result', result: { roots: [{ uri: 'file:///x' }] } };
  });
  const called = session.request({ method: 'tools/call' }, exchange);
  await settled();
  await scene.time.pass(200);
  t.match(await called, { kind: 'result' });
  t.match(reads, [{ kind: 'result' }]);
  t.same(results(scene), [2, 0], 'its roots were heard: it shares the process of those who have the same');
  t.same(scene.servers[1]?.methods(), ['resources/read'], 'where it read nobody else is');
  t.equal(scene.servers[1]?.sessions.size, 0, 'nor is it itself any more');
  await scene.call(session, 'resources/read', { uri: 'x:other' });
  t.equal(scene.servers[0]?.methods().at(-1), 'resources/read', 'what it reads from now on it reads with the others');
});

t.test('shared: a read beside a call starts nothing of its own where roots are told at once', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared' });
  const session = scene.open(scene.client('a', { roots: ['file:///x'], capabilities: { roots: {} } }));
  await Promise.all([scene.call(session), scene.call(session, 'resources/read', { uri: 'x:1' })]);
  t.equal(scene.servers.length, 1);
});

t.test('shared: a list that a client reads for its answer about roots puts no second question', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared' });
  const [first, reader] = ['a', 'b'].map((context) =>
    scene.client(context, { roots: ['file:///x'], capabilities: { roots: {} } }),
  ) as [FakeClient, FakeClient];
  await scene.call(scene.open(first));
  const session = scene.open(reader);
  const lists: Answer[] = [];
  const exchange = exchangeOf(async () => {
    await settled(1);
    lists.push(await scene.call(session, 'tools/list'));
    return { kind: 'result', result: { roots: [{ uri: 'file:///x' }] } };
  });
  const called = session.request({ method: 'tools/call' }, exchange);
  await settled();
  await scene.time.pass(200);
  t.match(await called, { kind: 'result' });
  t.match(lists, [{ kind: 'result', result: { tools: [{}] } }]);
  t.equal(reader.rootsAsked, 0);
  t.same(results(scene), [2], 'the list came from the process that is there');
});

t.test('shared: a list beside a call waits for the answer about roots, and starts nothing of its own', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared' });
  const client = scene.client('a', { roots: ['file:///x'], capabilities: { roots: {} } });
  const session = scene.open(client);
  await Promise.all([scene.call(session), scene.call(session, 'tools/list'), scene.call(session, 'prompts/list')]);
  t.equal(client.rootsAsked, 1);
  t.equal(scene.servers.length, 1);
});

t.test('shared: what a client does for its answer to the question of a list puts no second one either', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared' });
  const [first, reader] = ['a', 'b'].map((context) =>
    scene.client(context, { roots: ['file:///x'], capabilities: { roots: {} } }),
  ) as [FakeClient, FakeClient];
  await scene.call(scene.open(first));
  const session = scene.open(reader);
  const done: Answer[] = [];
  const exchange = exchangeOf(async () => {
    await settled(1);
    for (const method of ['tools/list', 'resources/read'])
      done.push(await scene.call(session, method, method === 'tools/list' ? {} : { uri: 'x:1' }));
    return { kind: 'result', result: { roots: [{ uri: 'file:///x' }] } };
  });
  const list = session.request({ method: 'tools/list' }, exchange);
  await settled();
  const call = scene.call(session);
  await scene.time.pass(200);
  t.match(await list, { kind: 'result' });
  t.match(await call, { kind: 'result' });
  t.match(done, [{ kind: 'result' }, { kind: 'result' }]);
  t.equal(reader.rootsAsked, 0);
  t.same(results(scene), [2, 0]);
});

t.test('shared: a question that was given up with its request is put again by the next', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared' });
  const client = scene.client('a', { roots: ['file:///x'], capabilities: { roots: {} } });
  const session = scene.open(client);
  const controller = new AbortController();
  const exchange = {
    signal: controller.signal,
    notify: () => undefined,
    ask: () => new Promise<Answer>(() => undefined),
  };
  const list = session.request({ method: 'tools/list' }, exchange);
  await settled();
  const call = scene.call(session);
  await settled();
  controller.abort(new Error('enough'));
  t.match(await list, { kind: 'error' });
  t.match(await call, { kind: 'result' });
  t.equal(client.rootsAsked, 1);
});

t.test(
  'shared: nobody is told of roots to describe a server: what is begun for that is there for whoever calls',
  async (t) => {
    const scene = poolStand(t);
    scene.served('tool', { sharing: 'shared' });
    // Which era its server has, a client of 2026-07-28 does not know before it is described.
    const client = scene.client('a', { era: 'modern', roots: ['file:///x'], capabilities: { roots: {} } });
    const session = scene.open(client);
    await session.describe(new AbortController().signal);
    Object.assign(client, { era: 'legacy', frontEra: 'modern' });
    await scene.call(session);
    t.equal(client.rootsAsked, 1);
    t.equal(scene.launched.length, 1);
  },
);

t.test('shared: a question that is not answered in time was one for all who came meanwhile', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared' });
  const client = scene.client('a', { roots: ['file:///x'], capabilities: { roots: {} } });
  const session = scene.open(client);
  const exchange: Exchange = {
    signal: new AbortController().signal,
    notify: () => undefined,
    ask: () => new Promise<Answer>(() => undefined),
  };
  const list = session.request({ method: 'tools/list' }, exchange);
  await settled();
  const call = scene.call(session);
  await scene.time.pass(2_000);
  t.match(await list, { kind: 'result' });
  t.match(await call, { kind: 'result' });
  t.equal(client.rootsAsked, 0);
});

t.test('shared: a list of a client that is asked by the results of its calls alone asks nothing', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared' });
  const [first, reader] = ['a', 'b'].map((context) =>
    scene.client(context, { roots: ['file:///x'], capabilities: { roots: {} }, frontEra: 'modern' }),
  ) as [FakeClient, FakeClient];
  await scene.call(scene.open(first));
  const session = scene.open(reader);
  t.match(await scene.call(session, 'tools/list'), { kind: 'result' });
  t.equal(reader.rootsAsked, 0);
  await scene.call(session);
  t.equal(reader.rootsAsked, 1);
  t.same(results(scene), [2]);
});

t.test('shared: a read that asks for roots itself waits for them, however long that takes', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared' });
  const [first, reader] = ['a', 'b'].map((context) =>
    scene.client(context, { roots: ['file:///x'], capabilities: { roots: {} } }),
  ) as [FakeClient, FakeClient];
  await scene.call(scene.open(first));
  const exchange = exchangeOf(async () => {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    return { kind: 'result', result: { roots: [{ uri: 'file:///x' }] } };
  });
  const read = scene.open(reader).request({ method: 'resources/read', params: { uri: 'x:1' } }, exchange);
  await scene.time.pass(1_000);
  t.match(await read, { kind: 'result' });
  t.equal(scene.servers.length, 1);
});

t.test(
  'shared: roots that change while they are asked for, or while a process starts for them, are asked for again',
  async (t) => {
    const scene = poolStand(t);
    scene.served('tool', { sharing: 'shared' });
    const other = scene.open(scene.client('a', { roots: ['file:///new'], capabilities: { roots: {} } }));
    await scene.call(other);
    const session = scene.open(scene.client('b', { capabilities: { roots: {} } }));
    const change = (): void => session.notify({ method: 'notifications/roots/list_changed' });
    let asked = 0;
    const exchange: Exchange = {
      signal: new AbortController().signal,
      notify: () => undefined,
      ask() {
        asked += 1;
        // It changes right after it was asked, and once more while a process is started for what it said then.
        if (asked === 1) change();
        const roots = ['file:///old', 'file:///between', 'file:///new'][asked - 1];
        return Promise.resolve({ kind: 'result', result: { roots: [{ uri: roots }] } });
      },
    };
    const letGo = scene.points.hold('connect');
    const answer = session.request({ method: 'tools/call', params: { name: 'x', arguments: {} } }, exchange);
    await scene.time.pass(100);
    t.equal(asked, 2);
    change();
    letGo();
    await scene.time.pass(100);
    t.match(await answer, { kind: 'result' });
    t.equal(asked, 3);
    t.equal(scene.servers[0]?.methods().filter((method) => method === 'tools/call').length, 2, 'they share');
  },
);

t.test('context: a change of roots is told to its own server', async (t) => {
  const scene = poolStand(t);
  scene.served();
  const session = scene.open(scene.client('a', { roots: [], capabilities: { roots: {} } }));
  await scene.call(session);
  session.notify({ method: 'notifications/roots/list_changed' });
  t.same(scene.servers[0]?.notified, [{ method: 'notifications/roots/list_changed' }]);
});

t.test('a context ends with its last session: its process is stopped in order, others stay', async (t) => {
  const scene = poolStand(t);
  scene.served();
  scene.served('shared', { sharing: 'shared' });
  const [one, same, other] = [scene.client('a'), scene.client('a'), scene.client('b')];
  const sessions = [one, same, other].map((client) => scene.open(client));
  const shared = [one, other].map((client) => scene.open(client, 'shared'));
  for (const session of [...sessions, ...shared]) await scene.call(session);
  await sessions[0]?.close('gone');
  t.equal(scene.registry.tool('tool').runs.length, 2, 'another session of the context is open');
  await shared[0]?.close('gone');
  const closing = sessions[1]?.close('gone');
  await scene.time.pass(100);
  await closing;
  t.equal(scene.registry.tool('tool').runs.length, 1);
  t.match(scene.registry.tool('tool').lastEnd, { reason: 'context_ended', message: 'stopped: its context a ended' });
  t.equal(scene.registry.tool('shared').runs.length, 1, 'what is shared stays');
  t.equal(scene.servers.at(-1)?.sessions.size, 1, 'with one session less');
  t.equal(scene.recordsOf('recovery').length, 0);
  t.match(await scene.call(sessions[1] ?? scene.open(one)), { kind: 'error', error: { message: /closed/ } });
});

t.test('a context that ends while its process starts leaves nothing behind', async (t) => {
  const scene = poolStand(t);
  scene.served();
  const gate = scene.points.hold('connect');
  const session = scene.open(scene.client('a'));
  const answer = scene.call(session);
  await settled();
  await session.close('gone');
  gate();
  await scene.time.pass(200);
  await answer;
  t.equal(scene.launched.length, 1);
  t.equal(scene.registry.tool('tool').runs.length, 0);
});

t.test('a session that is closed while it waits for a shared process has nothing open with it', async (t) => {
  const scene = poolStand(t);
  scene.served('tool', { sharing: 'shared' });
  const gate = scene.points.hold('connect');
  const session = scene.open(scene.client('a'));
  const answer = scene.call(session);
  await settled();
  await session.close('gone');
  gate();
  await scene.time.pass(200);
  t.match(await answer, { error: { message: 'tool: the session is closed' } });
  t.equal(scene.servers[0]?.sessions.size, 0);
  t.equal(scene.registry.tool('tool').runs.length, 1);
});

t.test('what is not served is refused by name', async (t) => {
  const scene = poolStand(t);
  scene.served('plain', { readiness: 'none' });
  scene.served();
  t.same(scene.pool.names(), ['tool']);
  t.throws(() => scene.open(scene.client('a'), 'plain'), isGovernorError('not_managed'));
  t.throws(() => scene.open(scene.client('a'), 'none'), isGovernorError('unknown_tool'));
  await scene.registry.close('all');
  t.throws(() => scene.open(scene.client('a')), isGovernorError('shutting_down'));
});

t.test('who listens is told when tools come and go', async (t) => {
  const scene = poolStand(t);
  let told = 0;
  const stop = scene.pool.onChanged(() => told++);
  scene.served('one');
  scene.served('two');
  t.equal(told, 2);
  await scene.redefine('two', { graceMs: 1 });
  t.equal(told, 2, 'the same names');
  await scene.registry.unregister('one');
  t.equal(told, 3);
  stop();
  await scene.registry.unregister('two');
  t.equal(told, 3);
});
