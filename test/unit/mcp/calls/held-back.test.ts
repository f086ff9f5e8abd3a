/** New calls to a tool that is held back, through the real pool, tools, ladder and monitor. */

import t from 'tap';
import type { ResolvedLimit } from '../../../../lib/core/limits.ts';
import type { Resource } from '../../../../lib/core/resource.ts';
import { defaultActions } from '../../../../lib/core/response.ts';
import type { StageActions } from '../../../../lib/core/response.ts';
import { createCallGuard } from '../../../../lib/mcp/calls/guard.ts';
import type { Answer } from '../../../../lib/mcp/wire/message.ts';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import type { Session } from '../../../../lib/mcp/wire/session.ts';
import type { ToolDefinition } from '../../../../lib/supervisor/governor.ts';
import { limited } from '../../../helpers/fake-ports.ts';
import type { TestScope } from '../../../helpers/fixture.ts';
import { settled } from '../../../helpers/manual-time.ts';
import { poolStand, type PoolStand } from '../../../helpers/pool-stand.ts';
import type { DefinitionOverrides } from '../../../helpers/fake-views.ts';

/** What the fake tree holds, by the resource that it is counted to. */
const HOLDS = {
  memory: 'memory',
  file_handles: 'fileHandles',
  sockets: 'sockets',
  temp_storage: 'tempStorage',
  tasks: 'tasks',
} as const;
type Held = keyof typeof HOLDS;

interface Scene extends PoolStand {
  readonly session: Session;
  /** Lets the ladder see so much of a limit of 100. */
  use(resource: Held, amount: number): Promise<void>;
  sent(): number;
}

async function scene(
  t: TestScope,
  actions: Partial<Record<Resource, Partial<StageActions>>> = {},
  overrides: DefinitionOverrides = {},
): Promise<Scene> {
  const guard = createCallGuard({ monotonicMs: () => made.time.monotonicMs(), onCall: () => undefined });
  const made: PoolStand = poolStand(t, { guard });
  const limits: Partial<Record<Resource, ResolvedLimit | null>> = { ...limited({}) };
  for (const resource of [...(Object.keys(HOLDS) as Held[]), 'cpu'] as const)
    limits[resource] = {
      ...(limited({ [resource]: 100 })[resource] as ResolvedLimit),
      actions: { ...defaultActions(resource, true), ...actions[resource] },
    };
  made.served('tool', { limits: limits as ToolDefinition['limits'], ...overrides });
  const session = made.open(made.client('a'));
  await made.call(session);
  return Object.assign(made, {
    session,
    async use(resource: Held, amount: number) {
      made.tree.holds[HOLDS[resource]] = amount;
      await made.time.pass(4_000);
    },
    sent: () => made.servers.flatMap((server) => server.methods()).length,
  });
}

async function soon(answer: Promise<Answer>): Promise<Answer | null> {
  let found: Answer | null = null;
  void answer.then((given) => (found = given));
  await settled();
  return found;
}

for (const resource of Object.keys(HOLDS) as Held[]) {
  t.test(`${resource}: by default new calls wait until it has recovered`, async (t) => {
    const s = await scene(t);
    await s.use(resource, 93);
    const waiting = s.call(s.session);
    t.equal(await soon(waiting), null);
    t.equal(s.sent(), 1);
    t.match(await s.call(s.session, 'resources/templates/list'), { kind: 'result' }, 'lists are not calls');
    await s.use(resource, 10);
    t.match(await waiting, { kind: 'result' });
    t.match(
      s.recordsOf('action').filter(({ action }) => action === 'queue_calls'),
      [{ resource, stage: 'throttled', outcome: 'done' }],
    );
  });
}

t.test('refuse_calls: at once, with everything that a person and a program need', async (t) => {
  const s = await scene(t, { tasks: { throttled: ['notify', 'refuse_calls'] } });
  await s.use('tasks', 93);
  t.match(await soon(s.call(s.session)), {
    kind: 'error',
    error: {
      code: RPC_CODE.refused,
      message:
        'tool: held back (tasks 93 is 93 % of its limit of 100, stage throttled): new calls are refused; try again later',
      data: {
        tool: 'tool',
        run: 'run0000001',
        resource: 'tasks',
        usage: 93,
        limit: 100,
        ratio: 0.93,
        stage: 'throttled',
        action: 'refuse_calls',
        retryAfterMs: 5_000,
      },
    },
  });
  t.equal(s.sent(), 1);
  await s.use('memory', 93);
  t.match(await soon(s.call(s.session)), { error: { data: { resource: 'tasks' } } }, 'a refusal before a queue');
  await s.use('tasks', 10);
  const waiting = s.call(s.session);
  t.equal(await soon(waiting), null, 'memory only queues');
  await s.use('memory', 10);
  t.match(await waiting, { kind: 'result' });
});

t.test('so many wait, and so long, as the tool is defined now', async (t) => {
  const s = await scene(t, {}, { calls: { queue: 2, waitMs: 8_000 } });
  await s.use('tasks', 93);
  const first = s.call(s.session);
  const second = s.call(s.session);
  const third = await soon(s.call(s.session));
  t.match(third, { error: { code: RPC_CODE.refused, message: /: too many calls wait for it already; / } });
  await s.time.pass(7_900);
  t.equal(await soon(first), null);
  await s.time.pass(100);
  for (const late of [first, second])
    t.match(await soon(late), {
      error: {
        message: /: it did not recover in time; /,
        data: { resource: 'tasks', usage: 93, action: 'refuse_calls' },
      },
    });
  const definition = s.registry.live.get('tool')?.definition;
  await s.redefine('tool', { limits: definition?.limits ?? limited({}), calls: { queue: 1, waitMs: 1_000 } });
  const again = s.call(s.session);
  t.match(await soon(s.call(s.session)), { error: { message: /: too many calls wait for it already; / } });
  await s.time.pass(1_000);
  t.match(await soon(again), { error: { message: /: it did not recover in time; / } });
  t.equal(s.sent(), 1);
});

t.test('a list without it holds nothing, nor does a dry run', async (t) => {
  for (const [actions, overrides] of [
    [{ tasks: { throttled: ['notify'] } }, {}],
    [{ tasks: { throttled: [] } }, {}],
    [{ tasks: { throttled: ['refuse_calls'] } }, { dryRun: true }],
  ] as const) {
    const s = await scene(t, actions, overrides);
    await s.use('tasks', 93);
    t.match(await soon(s.call(s.session)), { kind: 'result' });
  }
});

t.test('a stage keeps what the stages below it do', async (t) => {
  const s = await scene(t, { tasks: { warning: ['refuse_calls'], cleanup: [] } });
  await s.use('tasks', 80);
  t.match(await soon(s.call(s.session)), { error: { data: { stage: 'warning', action: 'refuse_calls' } } });
  await s.use('tasks', 110);
  t.match(await soon(s.call(s.session)), { error: { data: { stage: 'cleanup', usage: 110 } } });
});

t.test('a tool is not held back for ever: the throttle goes on to cleanup', async (t) => {
  const s = await scene(t);
  await s.use('tasks', 93);
  const waiting = s.call(s.session);
  await s.time.pass(29_000);
  t.match(await soon(waiting), { error: { code: RPC_CODE.stopped, data: { resource: 'tasks', action: 'recycle' } } });
  t.match(s.registry.runs('tool').at(-1)?.end, { message: /throttled for too long/ });
  t.match(await s.call(s.session), { kind: 'result' });
});

t.test('but one that nothing holds back may stay there', async (t) => {
  const s = await scene(t, { tasks: { throttled: ['notify'] } });
  await s.use('tasks', 93);
  await s.time.pass(120_000);
  t.equal(s.launched.length, 1);
});

t.test('degraded: after a failure so many calls at once, until the tool is given everything back', async (t) => {
  const recovery = {
    strategy: 'degrade',
    degraded: { class: null, limits: null, callsAtOnce: 1 },
    returnAfterMs: 20_000,
  } as const;
  const s = await scene(t, {}, { recovery });
  const held: (() => void)[] = [];
  s.offer.behaviour = () =>
    new Promise((resolve) => held.push(() => resolve({ kind: 'result', result: { content: [] } })));
  const before = [s.call(s.session), s.call(s.session)];
  await settled();
  t.equal(s.sent(), 3, 'both at once, as long as nothing has failed');
  s.launched.at(-1)?.end({ code: 1 });
  await s.time.pass(100);
  for (const answer of before) t.match(await answer, { kind: 'error', error: { code: RPC_CODE.stopped } });
  held.length = 0;
  const first = s.call(s.session);
  const second = s.call(s.session);
  await settled();
  t.equal(s.sent(), 4, 'one of the two');
  held[0]?.();
  t.match(await first, { kind: 'result' });
  await settled();
  t.equal(s.sent(), 5);
  await s.time.pass(20_000);
  t.equal(s.registry.tool('tool').recovery.degraded, null);
  const third = s.call(s.session);
  await settled();
  t.equal(s.sent(), 6, 'beside the second, in the same run');
  for (const release of held) release();
  t.match([await second, await third], [{ kind: 'result' }, { kind: 'result' }]);
});

t.test(
  'degraded: who waits goes on as soon as the tool is given everything back, while another is still open',
  async (t) => {
    const recovery = {
      strategy: 'degrade',
      degraded: { class: null, limits: null, callsAtOnce: 1 },
      returnAfterMs: 5_000,
    } as const;
    const s = await scene(t, {}, { recovery });
    const held: (() => void)[] = [];
    s.offer.behaviour = () =>
      new Promise((resolve) => held.push(() => resolve({ kind: 'result', result: { content: [] } })));
    const before = s.call(s.session);
    await settled();
    s.launched.at(-1)?.end({ code: 1 });
    await s.time.pass(100);
    t.match(await before, { kind: 'error' });
    const calls = [s.call(s.session), s.call(s.session)];
    await settled();
    const sent = s.sent();
    await s.time.pass(4_000);
    t.equal(s.sent(), sent, 'one at once');
    await s.time.pass(2_000);
    t.equal(s.registry.tool('tool').recovery.degraded, null);
    t.equal(s.sent(), sent + 1, 'the other too');
    for (const release of held) release();
    t.match(await Promise.all(calls), [{ kind: 'result' }, { kind: 'result' }]);
  },
);

t.test('degraded: more calls at once after a reload are let in at once, fewer hold back the next', async (t) => {
  const recovery = (callsAtOnce: number | null) =>
    ({ strategy: 'degrade', degraded: { class: null, limits: null, callsAtOnce }, returnAfterMs: 600_000 }) as const;
  const s = await scene(t, {}, { recovery: recovery(1) });
  const held: (() => void)[] = [];
  s.offer.behaviour = () =>
    new Promise((resolve) => held.push(() => resolve({ kind: 'result', result: { content: [] } })));
  const before = s.call(s.session);
  await settled();
  s.launched.at(-1)?.end({ code: 1 });
  await s.time.pass(100);
  t.match(await before, { kind: 'error' });
  held.length = 0;
  const calls = [s.call(s.session), s.call(s.session), s.call(s.session)];
  await settled();
  const sent = s.sent();
  t.equal(held.length, 1, 'one at once');
  await s.redefine('tool', { recovery: recovery(2) });
  await settled();
  t.equal(s.sent(), sent + 1, 'the second, in the same run');
  await s.redefine('tool', { recovery: recovery(1) });
  held[0]?.();
  await settled();
  t.equal(s.sent(), sent + 1, 'one is open: the third waits');
  held[1]?.();
  await settled();
  t.equal(s.sent(), sent + 2);
  held[2]?.();
  for (const answer of calls) t.match(await answer, { kind: 'result' });
  t.equal(s.launched.length, 2);
});
