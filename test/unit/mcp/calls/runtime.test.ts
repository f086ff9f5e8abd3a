/** The runtime of calls, through the real pool, tools, ladder and monitor; the server and the time are the test's. */

import t from 'tap';
import type { ResolvedLimit } from '../../../../lib/core/limits.ts';
import { defaultActions } from '../../../../lib/core/response.ts';
import type { Action } from '../../../../lib/core/response.ts';
import { createCallGuard } from '../../../../lib/mcp/calls/guard.ts';
import type { CallRecord } from '../../../../lib/mcp/calls/account.ts';
import type { Answer } from '../../../../lib/mcp/wire/message.ts';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import type { Session } from '../../../../lib/mcp/wire/session.ts';
import { limited } from '../../../helpers/fake-ports.ts';
import type { TestScope } from '../../../helpers/fixture.ts';
import { settled } from '../../../helpers/manual-time.ts';
import { exchangeOf, poolStand, type PoolStand } from '../../../helpers/pool-stand.ts';
import type { DefinitionOverrides } from '../../../helpers/fake-views.ts';

const LIMIT = 100_000;
const OK: Answer = { kind: 'result', result: { content: [] } };

interface Going {
  readonly answer: () => Answer | null;
  /** What the server does with it. */
  finish(given?: Answer): void;
  progress(): void;
  /** The server asks the client something. @returns the client's answer to it */
  ask(): () => void;
  readonly cancelled: () => string | null;
  readonly abort: AbortController;
}

interface Scene extends PoolStand {
  readonly session: Session;
  readonly calls: CallRecord[];
  begin(method?: string, params?: Readonly<Record<string, unknown>>): Promise<Going>;
  actions(): readonly (readonly [Action, string])[];
  stages(): readonly string[];
}

function scene(t: TestScope, more: Partial<ResolvedLimit> = {}, overrides: DefinitionOverrides = {}): Scene {
  const calls: CallRecord[] = [];
  const guard = createCallGuard({
    monotonicMs: () => made.time.monotonicMs(),
    onCall: (record) => void calls.push(record),
  });
  const made: PoolStand = poolStand(t, { guard });
  const limits = limited({ runtime: LIMIT }, { actions: defaultActions('runtime', true), ...more });
  made.served('tool', { limits, ...overrides });
  const session = made.open(made.client('a'));
  return Object.assign(made, {
    session,
    calls,
    async begin(method = 'tools/call', params: Readonly<Record<string, unknown>> = { name: 'slow' }): Promise<Going> {
      let finish: (answer: Answer) => void = () => undefined;
      const answered = new Promise<Answer>((resolve) => (finish = resolve));
      made.offer.behaviour = ({ exchange }) => {
        // As a conversation does it: what is cancelled is answered at once, whatever the server does.
        exchange.signal.addEventListener('abort', () => {
          const reason = (exchange.signal.reason as Error).message;
          finish({ kind: 'error', error: { code: RPC_CODE.internalError, message: `cancelled: ${reason}` } });
        });
        return answered;
      };
      const abort = new AbortController();
      let answer: Answer | null = null;
      let reply: () => void = () => undefined;
      const exchange = {
        ...exchangeOf(undefined, abort.signal),
        ask: () => new Promise<Answer>((resolve) => (reply = () => resolve(OK))),
      };
      void session.request({ method, params }, exchange).then((given) => (answer = given));
      await settled();
      made.offer.behaviour = null;
      const seen = made.servers.at(-1)?.asked.at(-1);
      if (seen?.request.method !== method) throw new Error('it did not reach its server');
      return {
        answer: () => answer,
        finish: (given = OK) => finish(given),
        progress: () => seen.exchange.notify({ method: 'notifications/progress', params: { progress: 1 } }),
        ask() {
          void seen.exchange.ask({ method: 'elicitation/create' }, new AbortController().signal);
          return () => reply();
        },
        cancelled: () => (seen.exchange.signal.aborted ? (seen.exchange.signal.reason as Error).message : null),
        abort,
      };
    },
    actions: () => made.recordsOf('action').map(({ action, outcome }) => [action, outcome] as const),
    stages: () => made.recordsOf('stage').map(({ to }) => to),
  });
}

function runtimeOf({ registry }: PoolStand) {
  return registry.usageOf('tool').resources.find(({ resource }) => resource === 'runtime');
}

t.test('75, 90, 100 %: the tool is told twice, then the call is cancelled and its client hears why', async (t) => {
  const s = scene(t);
  const call = await s.begin();
  await s.time.pass(74_900);
  t.same(s.stages(), []);
  await s.time.pass(200);
  t.same(s.stages(), ['warning']);
  t.match(JSON.parse(s.notices[0] ?? ''), { resource: 'runtime', stage: 'warning', limit: LIMIT });
  t.match(s.servers[0]?.told, [{ method: 'notifications/governor/pressure', params: { resource: 'runtime' } }]);
  await s.time.pass(15_000);
  t.same(s.stages(), ['warning', 'throttled']);
  t.equal(s.notices.length, 2);
  await s.time.pass(9_700);
  t.equal(call.answer(), null, 'not before its time');
  t.match(runtimeOf(s), { usage: 99_800, limit: LIMIT, stage: 'throttled', enforcement: 'polled', quality: 'exact' });
  await s.time.pass(400);
  t.match(call.cancelled(), /^cancelled: runtime 1m40s is 100 % of its limit of 1m40s, stage cleanup$/);
  t.match(call.answer(), {
    kind: 'error',
    error: {
      code: RPC_CODE.deadline,
      message: 'tool: cancelled: runtime 1m40s is 100 % of its limit of 1m40s, stage cleanup',
      data: {
        tool: 'tool',
        run: 'run0000001',
        resource: 'runtime',
        usage: Number,
        limit: LIMIT,
        ratio: Number,
        stage: 'cleanup',
        action: 'cancel_call',
        retryAfterMs: 0,
      },
    },
  });
  t.equal(s.servers[0]?.checks, 1, 'and the server is pinged');
  t.match(s.calls, [{ outcome: 'expired', name: 'slow' }]);
  t.match(s.recordsOf('action').at(-1), {
    action: 'cancel_call',
    outcome: 'done',
    stage: 'cleanup',
    resource: 'runtime',
    call: 'tools/call slow',
  });
  t.equal(s.stages().at(-1), 'normal', 'with the call its stage is over');
  await s.time.pass(200_000);
  t.equal(s.launched.length, 1);
  t.equal(s.registry.tool('tool').state, 'active', 'a server that answers its ping has only lost the call');
  t.match(runtimeOf(s), { usage: 0, ratio: 0, stage: 'normal' });
  t.match(await s.call(s.session), { kind: 'result' });
});

t.test('a server that fails its ping is recycled, on record, and the next call has another one', async (t) => {
  const s = scene(t);
  const call = await s.begin();
  const server = s.servers[0];
  if (server === undefined) throw new Error('no server');
  server.answersChecks = false;
  await s.time.pass(100_200);
  t.match(call.answer(), { error: { code: RPC_CODE.deadline } });
  await s.time.pass(6_000);
  t.match(
    s.recordsOf('action').filter(({ action }) => action === 'cancel_call' || action === 'recycle'),
    [
      { action: 'cancel_call', outcome: 'done' },
      { action: 'recycle', outcome: 'done', detail: 'it did not answer its ping', call: 'tools/call slow' },
    ],
  );
  t.match(s.registry.tool('tool').lastEnd, {
    reason: 'limit',
    resource: 'runtime',
    message:
      /^stopped: tools\/call slow: runtime .* of its limit of 1m40s; it was cancelled, and the server did not answer its ping$/,
  });
  t.match(s.recordsOf('cleanup'), [{ reason: 'limit', report: { proven: true } }]);
  await s.time.pass(1_000);
  t.match(await s.call(s.session), { kind: 'result' });
  t.equal(s.servers.length, 2);
});

t.test('others at that server hear that it was recycled, and of what', async (t) => {
  const s = scene(t);
  const first = await s.begin();
  await s.time.pass(60_000);
  const second = await s.begin('prompts/get', { name: 'other' });
  if (s.servers[0] !== undefined) s.servers[0].answersChecks = false;
  await s.time.pass(41_000);
  t.match(first.answer(), { error: { code: RPC_CODE.deadline } });
  await s.time.pass(1_000);
  t.match(second.answer(), {
    error: {
      code: RPC_CODE.stopped,
      data: {
        reason: 'limit',
        resource: 'runtime',
        limit: LIMIT,
        usage: Number,
        ratio: Number,
        stage: 'cleanup',
        action: 'recycle',
        retryAfterMs: 0,
      },
    },
  });
});

t.test('at 150 % what is still there of a server that failed its ping has no more grace', async (t) => {
  const s = scene(t, {}, { graceMs: 3_600_000 });
  s.handles = { held: 1, closed: 0, failed: [] };
  s.points.hold('handles.close');
  const call = await s.begin();
  if (s.servers[0] !== undefined) s.servers[0].answersChecks = false;
  await s.time.pass(100_200);
  t.match(call.answer(), { error: { code: RPC_CODE.deadline } });
  await s.time.pass(49_000);
  t.match(s.registry.runs('tool'), [{ state: 'stopping' }]);
  await s.time.pass(2_000);
  t.match(s.registry.runs('tool'), [{ state: 'ended', end: { reason: 'limit', resource: 'runtime' } }]);
  t.same(
    s.actions().filter(([action]) => action !== 'notify'),
    [
      ['cancel_call', 'done'],
      ['recycle', 'done'],
      ['kill', 'done'],
    ],
  );
});

t.test('progress renews it; the hard cap ends it all the same', async (t) => {
  const s = scene(t, { capMs: 300_000 });
  const call = await s.begin();
  for (let at = 0; at < 4; at++) {
    await s.time.pass(70_000);
    call.progress();
  }
  t.same(s.stages(), ['warning', 'throttled'], 'of the cap, at 225 s and 270 s');
  t.match(runtimeOf(s), { usage: 0, limit: LIMIT, ratio: 280_000 / 300_000, stage: 'throttled' });
  t.equal(call.answer(), null);
  await s.time.pass(19_900);
  t.equal(call.answer(), null);
  await s.time.pass(300);
  t.match(call.answer(), {
    error: {
      code: RPC_CODE.deadline,
      message: 'tool: cancelled: runtime 5m is 100 % of its hard cap of 5m, stage cleanup',
      data: { resource: 'runtime', limit: 300_000, stage: 'cleanup', action: 'cancel_call', retryAfterMs: 0 },
    },
  });
});

t.test('renew: none', async (t) => {
  const s = scene(t, { renew: 'none' });
  const call = await s.begin();
  await s.time.pass(70_000);
  call.progress();
  await s.time.pass(30_200);
  t.match(call.answer(), { error: { code: RPC_CODE.deadline } });
});

t.test('other notices renew nothing', async (t) => {
  const s = scene(t);
  const call = await s.begin();
  await s.time.pass(70_000);
  s.servers[0]?.asked.at(-1)?.exchange.notify({ method: 'notifications/message', params: { level: 'info' } });
  await s.time.pass(30_200);
  t.match(call.answer(), { error: { code: RPC_CODE.deadline } });
});

t.test('nobody is hurried while they think: the clock stands still, the cap does not', async (t) => {
  const s = scene(t, { capMs: 400_000 });
  const call = await s.begin();
  await s.time.pass(60_000);
  const reply = call.ask();
  await s.time.pass(200_000);
  t.same(s.stages(), []);
  t.match(runtimeOf(s), { usage: 60_000 });
  reply();
  await s.time.pass(14_900);
  t.same(s.stages(), []);
  await s.time.pass(200);
  t.same(s.stages(), ['warning'], '75 s of its own time');
  call.ask();
  await s.time.pass(124_700);
  t.equal(call.answer(), null);
  await s.time.pass(400);
  t.match(call.answer(), { error: { message: /its hard cap of 6m40s/ } });
});

t.test('each call has its own deadline; the longest is shown', async (t) => {
  const s = scene(t);
  const first = await s.begin();
  await s.time.pass(50_000);
  const second = await s.begin('resources/read', { uri: 'file:///secret?token=1' });
  await s.time.pass(40_500);
  t.match(runtimeOf(s), { usage: 90_500, stage: 'throttled' });
  await s.time.pass(10_000);
  t.match(first.answer(), { error: { code: RPC_CODE.deadline } });
  t.equal(second.answer(), null);
  t.match(runtimeOf(s), { usage: 50_500, stage: 'normal' });
  second.finish();
  await settled();
  t.equal(second.answer(), OK);
  await s.time.pass(200_000);
  t.notMatch(JSON.stringify(s.records), /secret/, 'a URI is on no record');
});

t.test('lists and pings have no deadline', async (t) => {
  const s = scene(t);
  await s.begin();
  const other = await s.begin('resources/templates/list', {});
  await s.time.pass(400_000);
  t.equal(other.answer(), null);
});

t.test('what was answered in time, or cancelled by its client, is out of the ladder', async (t) => {
  const s = scene(t);
  const answered = await s.begin();
  await s.time.pass(80_000);
  answered.finish();
  await settled();
  t.same(s.stages(), ['warning', 'normal']);
  const given = await s.begin();
  await s.time.pass(50_000);
  given.abort.abort(new Error('enough'));
  await settled();
  await s.time.pass(400_000);
  t.same(s.stages(), ['warning', 'normal']);
  t.equal(s.servers[0]?.checks, 0);
  t.match(s.calls, [{ outcome: 'ok' }, { outcome: 'cancelled' }]);
});

t.test('what nobody looked at for a while is cancelled, not killed', async (t) => {
  const s = scene(t);
  const call = await s.begin();
  await s.time.stall(400_000);
  t.equal(call.answer(), null, 'what was seen late is not acted on');
  await s.time.pass(100);
  t.match(call.answer(), { error: { code: RPC_CODE.deadline, data: { stage: 'cleanup', action: 'cancel_call' } } });
  await s.time.pass(60_000);
  t.equal(s.registry.tool('tool').state, 'active');
});

t.test('actions as the file says: a process that is recycled at once', async (t) => {
  const s = scene(t, { actions: { ...defaultActions('runtime', true), cleanup: ['recycle'] } });
  const call = await s.begin();
  await s.time.pass(101_000);
  t.match(call.answer(), {
    error: {
      code: RPC_CODE.stopped,
      message: /^tool: stopped: tools\/call slow: runtime 1m40s is 100 % of its limit of 1m40s, stage cleanup$/,
      data: { resource: 'runtime', stage: 'cleanup', action: 'recycle', limit: LIMIT },
    },
  });
});

t.test('a call that is over by then is not acted on', async (t) => {
  const s = scene(t, { actions: { ...defaultActions('runtime', true), cleanup: [], emergency: ['kill'] } });
  const call = await s.begin();
  await s.time.pass(149_900);
  t.equal(s.stages().at(-1), 'cleanup');
  call.finish();
  await s.time.pass(10_000);
  t.equal(s.registry.tool('tool').state, 'active');
  t.same(
    s.actions().filter(([action]) => action === 'kill'),
    [],
  );
});

t.test('a dry run says what it would do', async (t) => {
  const s = scene(t, {}, { dryRun: true });
  const call = await s.begin();
  await s.time.pass(160_000);
  t.equal(call.answer(), null);
  t.same(s.actions().slice(-2), [
    ['cancel_call', 'dry_run'],
    ['kill', 'dry_run'],
  ]);
  t.equal(s.registry.tool('tool').state, 'active');
});

t.test('a limit that is set, raised and lifted while a call is open', async (t) => {
  const s = scene(t, {}, { limits: limited({}) });
  const call = await s.begin();
  await s.time.pass(80_000);
  await s.registry.setLimits('tool', { runtime: LIMIT }, 'test');
  await s.time.pass(100);
  t.same(s.stages(), ['warning']);
  await s.registry.setLimits('tool', { runtime: 1_000_000 }, 'test');
  await s.time.pass(1_100);
  t.same(s.stages(), ['warning', 'normal']);
  await s.registry.setLimits('tool', { runtime: 90_000 }, 'test');
  await s.time.pass(100);
  t.same(s.stages(), ['warning', 'normal', 'throttled']);
  await s.registry.setLimits('tool', { runtime: null }, 'test');
  await s.time.pass(500_000);
  t.same(s.stages(), ['warning', 'normal', 'throttled', 'normal']);
  t.equal(call.answer(), null);
  await s.registry.setLimits('tool', { runtime: LIMIT }, 'test');
  await s.time.pass(100);
  t.match(call.answer(), { error: { code: RPC_CODE.deadline, data: { action: 'cancel_call', limit: LIMIT } } });
});

t.test('sharing: call: the process ends with its call', async (t) => {
  const s = scene(t, {}, { sharing: 'call' });
  const call = await s.begin();
  if (s.servers[0] !== undefined) s.servers[0].answersChecks = false;
  await s.time.pass(101_000);
  t.match(call.answer(), { error: { code: RPC_CODE.deadline } });
  await s.time.pass(20_000);
  t.match(s.registry.runs('tool'), [{ end: { reason: 'context_ended' } }]);
  t.same(
    s.actions().filter(([action]) => action === 'recycle'),
    [],
    'it needs no second reason',
  );
});

t.test('a short limit is met in time, however calm its process was', async (t) => {
  const s = scene(t, { limit: 400 });
  const first = await s.begin();
  first.finish();
  await s.time.pass(60_130);
  const call = await s.begin();
  await s.time.pass(399);
  t.equal(call.answer(), null);
  await s.time.pass(20);
  t.match(call.answer(), { error: { code: RPC_CODE.deadline, data: { limit: 400 } } });
  const asking = await s.begin();
  await s.time.pass(200);
  const reply = asking.ask();
  await s.time.pass(60_130);
  reply();
  await s.time.pass(199);
  t.equal(asking.answer(), null);
  await s.time.pass(20);
  t.match(asking.answer(), { error: { code: RPC_CODE.deadline } });
});

t.test('while its server is being pinged, the ladder of a cancelled call waits', async (t) => {
  const s = scene(t, { limit: 1_000 });
  const call = await s.begin();
  const server = s.servers[0];
  if (server === undefined) throw new Error('no server');
  let pong: (isAnswered: boolean) => void = () => undefined;
  server.check = () => new Promise((resolve) => (pong = resolve));
  await s.time.pass(4_900);
  t.match(call.answer(), { error: { code: RPC_CODE.deadline } });
  t.same(
    s.actions().filter(([action]) => action === 'kill'),
    [],
    'far beyond 150 %',
  );
  pong(true);
  await s.time.pass(10_000);
  t.equal(s.registry.tool('tool').state, 'active');
  t.equal(s.stages().at(-1), 'normal');
});
