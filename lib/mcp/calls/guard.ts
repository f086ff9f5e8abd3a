/** Around each request to a process: whether it may go now, and what it came to. */

import { describeUsage } from '../../core/message.ts';
import type { ServedRun } from '../../supervisor/served.ts';
import type { Call, CallGuard } from '../pool/call-guard.ts';
import type { Answer } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { refused } from '../wire/refused.ts';
import type { Exchange } from '../wire/session.ts';
import { failure } from '../wire/text.ts';
import type { CallOutcome, CallRecord } from './account.ts';
import { Admissions } from './admission.ts';
import type { Admission, Obstacle } from './admission.ts';
import { CpuShares } from './cpu-shares.ts';
import { nameOf } from './names.ts';
import { withinRuntime } from './runtime.ts';

/** Requests that make a server work for a client: held back, held to a runtime, charged. Lists, pings and the like are not. */
const CALLS: ReadonlySet<string> = new Set(['tools/call', 'prompts/get', 'resources/read', 'completion/complete']);
const RETRY_MS = 5_000;

export interface GuardOptions {
  monotonicMs(): number;
  onCall(record: CallRecord): void;
}

export function createCallGuard(options: GuardOptions): CallGuard {
  const admissions = new Admissions();
  const shares = new WeakMap<ServedRun, CpuShares>();
  const sharesOf = (run: ServedRun): CpuShares => {
    const known = shares.get(run);
    if (known !== undefined) return known;
    const made = new CpuShares();
    shares.set(run, made);
    return made;
  };

  return {
    async around(call, exchange, send) {
      if (!CALLS.has(call.request.method)) return send(exchange);
      const { run } = call;
      const cpu = sharesOf(run);
      const beganMs = options.monotonicMs();
      const wait = admissions.enter(run, exchange.signal);
      if (wait !== null) {
        const admission = await wait;
        if (admission.kind !== 'admitted') {
          const answer = notSent(run, admission, exchange);
          const durationMs = options.monotonicMs() - beganMs;
          options.onCall({
            ...described(call),
            outcome: outcomeOf(answer, exchange),
            durationMs,
            cpuTimeMs: 0,
            isShared: false,
          });
          return answer;
        }
      }
      const share = cpu.begin(run.readCpuTimeMs());
      const answer = await withinRuntime(call, exchange, send).finally(() => admissions.leave(run));
      cpu.end(share, run.readCpuTimeMs());
      const durationMs = options.monotonicMs() - beganMs;
      options.onCall({ ...described(call), outcome: outcomeOf(answer, exchange), durationMs, ...share });
      return answer;
    },
  };
}

function described({
  tool,
  client,
  request,
  run,
}: Call): Pick<CallRecord, 'tool' | 'context' | 'run' | 'method' | 'name'> {
  return { tool, context: client.context, run: run.id, method: request.method, name: nameOf(request) };
}

function outcomeOf(answer: Answer, { signal }: Exchange): CallOutcome {
  if (answer.kind === 'result') return answer.result['isError'] === true ? 'tool_error' : 'ok';
  if (signal.aborted) return 'cancelled';
  if (answer.error.code === RPC_CODE.refused) return 'refused';
  if (answer.error.code === RPC_CODE.deadline) return 'expired';
  return answer.error.code === RPC_CODE.stopped ? 'stopped' : 'error';
}

function cancelled({ signal }: Exchange): Answer {
  const { reason } = signal;
  return failure(RPC_CODE.internalError, `cancelled: ${reason instanceof Error ? reason.message : String(reason)}`);
}

function notSent(run: ServedRun, admission: Exclude<Admission, { kind: 'admitted' }>, exchange: Exchange): Answer {
  switch (admission.kind) {
    case 'aborted':
      return cancelled(exchange);
    case 'ended':
      // Whoever knows why it ends says so.
      return failure(RPC_CODE.stopped, 'its process has ended');
    case 'refused':
      return heldUp(run, admission.why, admission.held);
  }
}

const HOW: Readonly<Record<'full' | 'late' | 'closed', string>> = {
  full: 'too many calls wait for it already',
  late: 'it did not recover in time',
  closed: 'new calls are refused',
};

function heldUp(run: ServedRun, why: keyof typeof HOW, held: Obstacle): Answer {
  return refused(`${run.tool}: held back (${whatHolds(held)}): ${HOW[why]}; try again later`, {
    tool: run.tool,
    run: run.id,
    ...figuresOf(held),
    retryAfterMs: RETRY_MS,
  });
}

function figuresOf(held: Obstacle): Readonly<Record<string, unknown>> {
  if ('callsAtOnce' in held) return {};
  const { resource, usage, limit, ratio, stage, sharedBy } = held;
  const shared = sharedBy === undefined ? {} : { shared: sharedBy === 'host' ? 'host' : 'context' };
  return { resource, usage, limit, ratio, stage, ...shared };
}

function whatHolds(held: Obstacle): string {
  if ('callsAtOnce' in held)
    return `degraded after a failure: ${held.callsAtOnce} ${held.callsAtOnce === 1 ? 'call' : 'calls'} at once`;
  const { resource, usage, limit, ratio, stage, sharedBy } = held;
  const whose = sharedBy === undefined ? '' : sharedBy === 'host' ? 'of all tools together: ' : `of ${sharedBy}: `;
  const what = usage === null || ratio === null ? resource : describeUsage(resource, usage, limit, ratio);
  return `${whose}${what}, stage ${stage}`;
}
