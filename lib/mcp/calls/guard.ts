/** Around each request to a process: whether it may go now, and what it came to. */

import { describeUsage } from '../../core/message.ts';
import type { StageChange } from '../../supervisor/run-events.ts';
import type { ServedRun } from '../../supervisor/served.ts';
import type { Call, CallGuard } from '../pool/call-guard.ts';
import type { Answer, RequestBody } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { Exchange } from '../wire/session.ts';
import { failure } from '../wire/text.ts';
import type { CallOutcome, CallRecord } from './account.ts';
import { Admissions } from './admission.ts';
import { CpuShares } from './cpu-shares.ts';

/** Requests that make a server work for a client. Lists, pings and the like are not charged. */
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
    admissions.watch(run);
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
          const answer =
            admission.kind === 'aborted' ? cancelled(exchange) : refused(run, admission.why, admission.change);
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
      const answer = await send(exchange);
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

function nameOf({ params }: RequestBody): string | null {
  const name = params?.['name'] ?? params?.['uri'];
  return typeof name === 'string' ? name : null;
}

function outcomeOf(answer: Answer, { signal }: Exchange): CallOutcome {
  if (answer.kind === 'result') return answer.result['isError'] === true ? 'tool_error' : 'ok';
  if (signal.aborted) return 'cancelled';
  if (answer.error.code === RPC_CODE.refused) return 'refused';
  return answer.error.code === RPC_CODE.stopped ? 'stopped' : 'error';
}

function cancelled({ signal }: Exchange): Answer {
  const { reason } = signal;
  return failure(RPC_CODE.internalError, `cancelled: ${reason instanceof Error ? reason.message : String(reason)}`);
}

function refused(run: ServedRun, why: 'full' | 'late', change: StageChange | null): Answer {
  const what =
    change === null
      ? `its stage is ${run.stage}`
      : `${describeUsage(change.resource, change.usage, change.limit, change.ratio)}, stage ${run.stage}`;
  const how = why === 'full' ? 'too many calls wait for it already' : 'it did not recover in time';
  return failure(RPC_CODE.refused, `${run.tool}: held back (${what}): ${how}; try again later`, {
    tool: run.tool,
    run: run.id,
    ...(change === null
      ? {}
      : { resource: change.resource, usage: change.usage, limit: change.limit, ratio: change.ratio }),
    stage: run.stage,
    action: 'refuse_calls',
    retryAfterMs: RETRY_MS,
  });
}
