import t from 'tap';
import type { Resource } from '../../../../lib/core/resource.ts';
import type { CallRecord } from '../../../../lib/mcp/calls/account.ts';
import { createCallGuard } from '../../../../lib/mcp/calls/guard.ts';
import type { Answer, RequestBody } from '../../../../lib/mcp/wire/message.ts';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import type { Client, Exchange } from '../../../../lib/mcp/wire/session.ts';
import type { HeldBack } from '../../../../lib/supervisor/held-back.ts';
import type { RunListener } from '../../../../lib/supervisor/run-events.ts';
import type { EndRequest } from '../../../../lib/supervisor/run.ts';
import type { ServedRun } from '../../../../lib/supervisor/served.ts';
import { manualTime, settled } from '../../../helpers/manual-time.ts';

const OK: Answer = { kind: 'result', result: { content: [] } };
const DATA = {
  tool: 'echo',
  run: 'run1',
  resource: 'memory',
  usage: 95,
  limit: 100,
  ratio: 0.95,
  stage: 'throttled',
  action: 'refuse_calls',
  retryAfterMs: 5_000,
};
const REQUEST: RequestBody = { method: 'tools/call', params: { name: 'say' } };

/** A run whose stages, queue and CPU time are set by hand. */
function stand({ queue = 100 } = {}) {
  const listeners = new Set<RunListener>();
  let held: HeldBack | null = null;
  let callsAtOnce: number | null = null;
  let ending: EndRequest | null = null;
  let cpuTimeMs = 0;
  let nowMs = 0;
  const run = {
    id: 'run1',
    tool: 'echo',
    get ending() {
      return ending;
    },
    heldBack: () => held,
    get callsAtOnce() {
      return callsAtOnce;
    },
    queue: { queue, waitMs: 30_000 },
    beginCall: () => ({ progressed() {}, asked: () => () => undefined, checked() {}, end() {} }),
    readCpuTimeMs: () => (cpuTimeMs += 3),
    listen(listener: RunListener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  } as unknown as ServedRun;
  const records: CallRecord[] = [];
  const guard = createCallGuard({ monotonicMs: () => (nowMs += 10), onCall: (record) => void records.push(record) });
  const enter = (how: HeldBack['how'] | null, resource: Resource = 'memory'): void => {
    const figures = { resource, usage: 95, limit: 100, ratio: 0.95 };
    held = how === null ? null : { how, stage: 'throttled', ...figures };
    for (const { onStage } of listeners) onStage?.({ ...figures, from: 'normal', to: 'throttled' });
  };
  const end = (): void => {
    ending = { reason: 'limit', message: 'stopped', graceMs: 0 };
    for (const { onEnding } of listeners) onEnding?.(ending);
  };
  const abort = new AbortController();
  let sent = 0;
  const call = (request = REQUEST, answer: Answer = OK, signal: AbortSignal = abort.signal): Promise<Answer> => {
    const exchange = { signal } as Exchange;
    const client = { context: 'chat' } as Client;
    return guard.around({ tool: 'echo', client, request, run, check: async () => true }, exchange, () => {
      sent++;
      return Promise.resolve(answer);
    });
  };
  const degrade = (calls: number | null): void => void (callsAtOnce = calls);
  return { call, enter, end, abort, degrade, records, sent: () => sent, listeners };
}

t.test('a call that nothing holds back is sent and charged', async (t) => {
  const { call, records } = stand();
  t.equal(await call(), OK);
  t.strictSame(records, [
    {
      tool: 'echo',
      context: 'chat',
      run: 'run1',
      method: 'tools/call',
      name: 'say',
      outcome: 'ok',
      durationMs: 10,
      cpuTimeMs: 3,
      isShared: false,
    },
  ]);
});

t.test('lists, pings and the like are neither held nor charged', async (t) => {
  const { call, records, enter, sent } = stand();
  await call();
  enter('queue_calls');
  for (const method of ['tools/list', 'ping', 'resources/subscribe']) t.equal(await call({ method }), OK, method);
  t.equal(records.length, 1);
  t.equal(sent(), 4);
});

t.test('every outcome has its name', async (t) => {
  const error = (code: number): Answer => ({ kind: 'error', error: { code, message: 'no' } });
  const cases: readonly (readonly [Answer, string])[] = [
    [{ kind: 'result', result: { isError: true } }, 'tool_error'],
    [error(RPC_CODE.invalidParams), 'error'],
    [error(RPC_CODE.refused), 'refused'],
    [error(RPC_CODE.stopped), 'stopped'],
    [error(RPC_CODE.deadline), 'expired'],
  ];
  for (const [answer, outcome] of cases) {
    const { call, records } = stand();
    t.equal(await call(REQUEST, answer), answer);
    t.equal(records[0]?.outcome, outcome);
  }
  const { call, records, abort } = stand();
  abort.abort(new Error('enough'));
  await call(REQUEST, error(RPC_CODE.internalError));
  t.equal(records[0]?.outcome, 'cancelled');
});

t.test('held back: a call waits until the tool has recovered', async (t) => {
  const { call, enter, sent } = stand();
  await call();
  enter('queue_calls');
  const waiting = call();
  await settled();
  t.equal(sent(), 1);
  enter('queue_calls', 'tasks');
  await settled();
  t.equal(sent(), 1, 'something else still holds it');
  enter(null);
  t.equal(await waiting, OK);
  t.equal(sent(), 2);
});

t.test('refuse_calls: at once, and what waits already hears it too', async (t) => {
  const { call, enter, sent, records, listeners } = stand();
  enter('refuse_calls');
  const refused = await call();
  t.match(refused, {
    error: {
      code: RPC_CODE.refused,
      message:
        'echo: held back (memory 95 B is 95 % of its limit of 100 B, stage throttled): new calls are refused; try again later',
      data: DATA,
    },
  });
  t.same(Object.keys((refused as { error: { data: object } }).error.data).toSorted(), Object.keys(DATA).toSorted());
  enter('queue_calls');
  const waiting = call();
  await settled();
  enter('refuse_calls');
  t.match(await waiting, { error: { code: RPC_CODE.refused, message: /: new calls are refused; / } });
  t.equal(sent(), 0);
  t.same(
    records.map(({ outcome }) => outcome),
    ['refused', 'refused'],
  );
  t.equal(listeners.size, 0);
});

t.test('a call waits so long at most', async (t) => {
  const time = manualTime(t);
  const { call, enter, sent } = stand();
  enter('queue_calls');
  const waiting = call();
  await time.pass(29_999);
  t.equal(await Promise.race([waiting, Promise.resolve('waits')]), 'waits');
  await time.pass(1);
  t.match(await waiting, {
    error: { code: RPC_CODE.refused, message: /: it did not recover in time; try again later$/, data: DATA },
  });
  t.equal(sent(), 0);
});

t.test('a client that gives up is not kept, and its call is never sent', async (t) => {
  const { call, enter, abort, sent, records, listeners } = stand();
  await call();
  const kept = listeners.size;
  enter('queue_calls');
  const waiting = call();
  await settled();
  abort.abort(new Error('the user has gone'));
  t.match(await waiting, { kind: 'error', error: { message: 'cancelled: the user has gone' } });
  t.equal(sent(), 1);
  t.equal(records[1]?.outcome, 'cancelled');
  t.equal(listeners.size, kept, 'nothing listens on');
});

t.test('at the end of the run what waits is answered, and not sent to what goes', async (t) => {
  const { call, enter, end, sent, records } = stand();
  await call();
  enter('queue_calls');
  const waiting = call();
  await settled();
  end();
  t.match(await waiting, { error: { code: RPC_CODE.stopped } });
  t.equal(sent(), 1);
  t.equal(records[1]?.outcome, 'stopped');
});

t.test('so many wait at most; the next is refused with everything that a program and a person need', async (t) => {
  const { call, enter, sent } = stand({ queue: 3 });
  await call();
  enter('queue_calls');
  const waiting = Array.from({ length: 3 }, () => call());
  await settled();
  t.match(await call(), {
    kind: 'error',
    error: {
      code: RPC_CODE.refused,
      message:
        /^echo: held back \(memory .* is 95 % of its limit .*\): too many calls wait for it already; try again later$/,
      data: DATA,
    },
  });
  enter(null);
  await Promise.all(waiting);
  t.equal(sent(), 4);
  enter('queue_calls');
  const again = call();
  await settled();
  enter(null);
  t.equal(await again, OK, 'places are given back');
});

t.test('degraded: so many calls at once, the others wait for one to be over, in their order', async (t) => {
  const { call, degrade, sent } = stand();
  degrade(2);
  let finish: (() => void)[] = [];
  const held = (): Promise<Answer> => {
    let release!: (answer: Answer) => void;
    const answer = new Promise<Answer>((resolve) => (release = resolve));
    finish.push(() => release(OK));
    return call(REQUEST, answer as unknown as Answer);
  };
  const calls = [held(), held(), held(), held()];
  await settled();
  t.equal(sent(), 2);
  finish[0]?.();
  await calls[0];
  await settled();
  t.equal(sent(), 3);
  finish[1]?.();
  finish[2]?.();
  finish[3]?.();
  t.strictSame(await Promise.all(calls), [OK, OK, OK, OK]);
  finish = [];
  degrade(null);
  const free = [held(), held(), held()];
  await settled();
  t.equal(sent(), 7, 'not any more');
  for (const one of finish) one();
  await Promise.all(free);
});

t.test('degraded: who waits in vain, or comes to a full queue, is told what holds it', async (t) => {
  const time = manualTime(t);
  const { call, degrade, sent, abort } = stand({ queue: 1 });
  degrade(1);
  let release!: (answer: Answer) => void;
  const first = call(REQUEST, new Promise<Answer>((resolve) => (release = resolve)) as unknown as Answer);
  const waiting = call();
  const refused = await call();
  t.match(refused, {
    kind: 'error',
    error: {
      code: RPC_CODE.refused,
      message:
        'echo: held back (degraded after a failure: 1 call at once): too many calls wait for it already; try again later',
      data: {
        tool: 'echo',
        run: 'run1',
        resource: null,
        ratio: null,
        stage: null,
        action: 'refuse_calls',
        retryAfterMs: 5_000,
      },
    },
  });
  await time.pass(30_000);
  t.match(await waiting, { error: { message: /it did not recover in time/ } });
  const given = new AbortController();
  const aborted = call(REQUEST, OK, given.signal);
  given.abort(new Error('enough'));
  t.match(await aborted, { error: { message: /cancelled: enough/ } });
  release(OK);
  t.equal(await first, OK);
  t.equal(await call(), OK, 'who was not let in holds no place');
  t.equal(sent(), 2);
  t.notOk(abort.signal.aborted);
});
