import t from 'tap';
import type { Stage } from '../../../../lib/core/ladder.ts';
import type { Resource } from '../../../../lib/core/resource.ts';
import type { CallRecord } from '../../../../lib/mcp/calls/account.ts';
import { createCallGuard } from '../../../../lib/mcp/calls/guard.ts';
import type { Answer, RequestBody } from '../../../../lib/mcp/wire/message.ts';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import type { Client, Exchange } from '../../../../lib/mcp/wire/session.ts';
import type { RunListener } from '../../../../lib/supervisor/run-events.ts';
import type { EndRequest } from '../../../../lib/supervisor/run.ts';
import type { ServedRun } from '../../../../lib/supervisor/served.ts';
import { settled } from '../../../helpers/manual-time.ts';

const OK: Answer = { kind: 'result', result: { content: [] } };
const REQUEST: RequestBody = { method: 'tools/call', params: { name: 'say' } };

/** A run whose stages and CPU time are set by hand. */
function stand({ dryRun = false } = {}) {
  const stages = new Map<Resource, Stage>();
  const listeners = new Set<RunListener>();
  let ending: EndRequest | null = null;
  let cpuTimeMs = 0;
  let nowMs = 0;
  const run = {
    id: 'run1',
    tool: 'echo',
    definition: { dryRun },
    get stage(): Stage {
      return [...stages.values()].find((stage) => stage !== 'normal') ?? 'normal';
    },
    stageOf: (resource: Resource): Stage => stages.get(resource) ?? 'normal',
    get ending() {
      return ending;
    },
    readCpuTimeMs: () => (cpuTimeMs += 3),
    listen(listener: RunListener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  } as unknown as ServedRun;
  const records: CallRecord[] = [];
  const guard = createCallGuard({ monotonicMs: () => (nowMs += 10), onCall: (record) => void records.push(record) });
  const enter = (resource: Resource, to: Stage): void => {
    const from = stages.get(resource) ?? 'normal';
    stages.set(resource, to);
    for (const { onStage } of listeners) onStage?.({ resource, from, to, usage: 95, limit: 100, ratio: 0.95 });
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
    return guard.around({ tool: 'echo', client, request, run }, exchange, () => {
      sent++;
      return Promise.resolve(answer);
    });
  };
  return { call, enter, end, abort, records, sent: () => sent, listeners };
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
  enter('memory', 'throttled');
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

t.test('throttled: a call waits until the tool has recovered', async (t) => {
  for (const resource of ['memory', 'file_handles', 'sockets', 'temp_storage', 'tasks'] as const) {
    const { call, enter, sent } = stand();
    await call();
    enter(resource, 'throttled');
    const waiting = call();
    await settled();
    t.equal(sent(), 1, resource);
    enter(resource, 'warning');
    t.equal(await waiting, OK, resource);
    t.equal(sent(), 2);
  }
});

t.test('CPU and runtime hold no call back, and a dry run holds nothing', async (t) => {
  for (const resource of ['cpu', 'runtime'] as const) {
    const { call, enter } = stand();
    enter(resource, 'throttled');
    t.equal(await call(), OK, resource);
  }
  const { call, enter } = stand({ dryRun: true });
  enter('memory', 'throttled');
  t.equal(await call(), OK);
});

t.test('a client that gives up is not kept, and its call is never sent', async (t) => {
  const { call, enter, abort, sent, records, listeners } = stand();
  await call();
  const kept = listeners.size;
  enter('memory', 'throttled');
  const waiting = call();
  await settled();
  abort.abort(new Error('the user has gone'));
  t.match(await waiting, { kind: 'error', error: { message: 'cancelled: the user has gone' } });
  t.equal(sent(), 1);
  t.equal(records[1]?.outcome, 'cancelled');
  t.equal(listeners.size, kept, 'nothing listens on');
});

t.test('the end of the run lets what waits go to hear the reason', async (t) => {
  const { call, enter, end, sent } = stand();
  await call();
  enter('memory', 'throttled');
  const waiting = call();
  await settled();
  end();
  await waiting;
  t.equal(sent(), 2);
});

t.test('so many wait at most; the next is refused with everything that a program and a person need', async (t) => {
  const { call, enter, sent } = stand();
  await call();
  enter('memory', 'throttled');
  const waiting = Array.from({ length: 100 }, () => call());
  await settled();
  const refused = await call();
  t.match(refused, {
    kind: 'error',
    error: {
      code: RPC_CODE.refused,
      message:
        /^echo: held back \(memory .* is 95 % of its limit .*\): too many calls wait for it already; try again later$/,
      data: {
        tool: 'echo',
        run: 'run1',
        resource: 'memory',
        usage: 95,
        limit: 100,
        ratio: 0.95,
        stage: 'throttled',
        action: 'refuse_calls',
        retryAfterMs: Number,
      },
    },
  });
  enter('memory', 'normal');
  await Promise.all(waiting);
  t.equal(sent(), 101);
  enter('memory', 'throttled');
  const again = call();
  await settled();
  enter('memory', 'normal');
  t.equal(await again, OK, 'places are given back');
});
