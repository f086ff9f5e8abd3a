/**
 * The runtime of one call: a clock that progress sets back to zero and that stands still while a question is open with
 * the client, below a hard cap that does neither. Its stages are one-way: more time is no lower stage. Pure.
 */

import { higher, rank, stageOf, THRESHOLD_STAGES } from './ladder.ts';
import type { Stage, ThresholdStage } from './ladder.ts';
import type { ResolvedLimit } from './limits.ts';

/** Times are monotonic milliseconds. */
export interface CallRuntime {
  readonly beganAtMs: number;
  /** On the clock until `runsSinceMs`. */
  readonly clockMs: number;
  /** From when on the clock runs; null: it stands still. */
  readonly runsSinceMs: number | null;
  /** Questions that are open with the client. */
  readonly questions: number;
  readonly stage: Stage;
  /** Runtime at which the stage began, threshold × limit: tells a raised limit. */
  readonly boundaryMs: number;
}

/** The clock against the limit, or the whole time against the hard cap: whichever is further on. */
export interface CallReading {
  /** Milliseconds. */
  readonly usage: number;
  readonly limit: number;
  readonly ratio: number;
}

/** Where no cap is written. Long enough for a person to be found and to answer. */
const CAP_FACTOR = 6;
const CAP_LEAST_MS = 600_000;

export function beganCall(nowMs: number): CallRuntime {
  return { beganAtMs: nowMs, clockMs: 0, runsSinceMs: nowMs, questions: 0, stage: 'normal', boundaryMs: 0 };
}

/** The server reported progress. */
export function renewed(call: CallRuntime, nowMs: number): CallRuntime {
  return { ...call, clockMs: 0, runsSinceMs: call.runsSinceMs === null ? null : nowMs };
}

/** The server asked the client something. */
export function asked(call: CallRuntime, nowMs: number): CallRuntime {
  return { ...call, clockMs: clockOf(call, nowMs), runsSinceMs: null, questions: call.questions + 1 };
}

export function answered(call: CallRuntime, nowMs: number): CallRuntime {
  const questions = Math.max(0, call.questions - 1);
  return questions === 0 && call.runsSinceMs === null
    ? { ...call, questions, runsSinceMs: nowMs }
    : { ...call, questions };
}

/** Milliseconds on the clock. */
export function clockOf({ clockMs, runsSinceMs }: CallRuntime, nowMs: number): number {
  return runsSinceMs === null ? clockMs : clockMs + Math.max(0, nowMs - runsSinceMs);
}

/** Milliseconds; never below the limit. */
export function capOf({ limit, capMs }: Pick<ResolvedLimit, 'limit' | 'capMs'>): number {
  return Math.max(limit, capMs ?? Math.max(CAP_FACTOR * limit, CAP_LEAST_MS));
}

export function readCall(call: CallRuntime, limit: Pick<ResolvedLimit, 'limit' | 'capMs'>, nowMs: number): CallReading {
  const clockMs = clockOf(call, nowMs);
  const wholeMs = Math.max(0, nowMs - call.beganAtMs);
  const capMs = capOf(limit);
  return wholeMs / capMs > clockMs / limit.limit
    ? { usage: wholeMs, limit: capMs, ratio: wholeMs / capMs }
    : { usage: clockMs, limit: limit.limit, ratio: clockMs / limit.limit };
}

/**
 * The stage as of now: never lower than before, unless the limit was raised; and where cleanup cancels the call, not past
 * that in one step: it is cancelled before its process has to answer for it.
 */
export function stageOfCall(call: CallRuntime, limit: ResolvedLimit, nowMs: number, exitMargin: number): Stage {
  const { ratio } = readCall(call, limit, nowMs);
  const reached = stageOf(ratio, limit.thresholds);
  if (rank(reached) > rank(call.stage))
    return reached === 'emergency' &&
      rank(call.stage) < rank('cleanup') &&
      limit.actions.cleanup.includes('cancel_call')
      ? 'cleanup'
      : reached;
  if (call.stage === 'normal') return 'normal';
  const isRaised = limit.limit * limit.thresholds[call.stage] > call.boundaryMs;
  return isRaised && ratio < limit.thresholds[call.stage] - exitMargin ? reached : higher(call.stage, reached);
}

export function inStage(call: CallRuntime, stage: Stage, limit: ResolvedLimit): CallRuntime {
  return { ...call, stage, boundaryMs: stage === 'normal' ? 0 : limit.limit * limit.thresholds[stage] };
}

/** Milliseconds until the next stage begins if nothing happens meanwhile; null after the last one. */
export function untilNextStageMs(call: CallRuntime, limit: ResolvedLimit, nowMs: number): number | null {
  const next: ThresholdStage | undefined = THRESHOLD_STAGES.find((stage) => rank(stage) > rank(call.stage));
  if (next === undefined) return null;
  const at = limit.thresholds[next];
  const byCapMs = capOf(limit) * at - (nowMs - call.beganAtMs);
  const byClockMs = call.runsSinceMs === null ? Infinity : limit.limit * at - clockOf(call, nowMs);
  return Math.max(0, Math.min(byCapMs, byClockMs));
}
