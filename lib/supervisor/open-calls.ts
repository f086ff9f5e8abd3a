/**
 * The calls that are open with one run of a managed tool: each is an activation of its own, with a clock and stages of its
 * own. What is due is decided at the samples of the run (`observe`), so that it goes the way of every other decision.
 */

import {
  answered,
  asked,
  beganCall,
  clockOf,
  inStage,
  readCall,
  renewed,
  stageOfCall,
  untilNextStageMs,
} from '../core/call-runtime.ts';
import type { CallReading, CallRuntime } from '../core/call-runtime.ts';
import { higher, rank, stageOf } from '../core/ladder.ts';
import type { Stage } from '../core/ladder.ts';
import type { ResolvedLimit } from '../core/limits.ts';
import type { Decision, OpenCallRef } from '../core/policy-decision.ts';
import type { Breach } from './run-events.ts';

/** Why a call is cancelled: the sentence for people, and the same in figures. */
export interface CallCancellation extends Breach {
  readonly message: string;
}

export interface OpenCall {
  readonly ref: OpenCallRef;
  runtime: CallRuntime;
  /** `cancelled`: its server is being asked whether it still answers. `unanswered`: it does not. `acted`: and that was said. */
  phase: 'open' | 'cancelled' | 'unanswered' | 'acted';
  readonly onCancel: (why: CallCancellation) => void;
}

export class OpenCalls {
  readonly #open = new Map<number, OpenCall>();
  #last = 0;

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** The highest of all. */
  get stage(): Stage {
    let stage: Stage = 'normal';
    for (const { runtime } of this.#open.values()) stage = higher(stage, runtime.stage);
    return stage;
  }

  /** @param label asked for only where a decision tells of the call, which of most calls none does */
  begin(label: () => string, nowMs: number, onCancel: OpenCall['onCancel']): OpenCall {
    const ref: OpenCallRef = {
      number: ++this.#last,
      get label() {
        return label();
      },
    };
    const call: OpenCall = { ref, runtime: beganCall(nowMs), phase: 'open', onCancel };
    this.#open.set(ref.number, call);
    return call;
  }

  renew(call: OpenCall, nowMs: number): void {
    call.runtime = renewed(call.runtime, nowMs);
  }

  ask(call: OpenCall, nowMs: number): void {
    call.runtime = asked(call.runtime, nowMs);
  }

  answer(call: OpenCall, nowMs: number): void {
    call.runtime = answered(call.runtime, nowMs);
  }

  /** @returns the leaving of its stage, where it was above normal */
  end({ ref, runtime }: OpenCall, limit: ResolvedLimit | null, nowMs: number): Decision | null {
    if (!this.#open.delete(ref.number) || limit === null) return null;
    return left(ref, runtime, limit, nowMs);
  }

  /** Milliseconds on the clock of the longest call; 0 where none is open. */
  longestMs(nowMs: number): number {
    let longestMs = 0;
    for (const { runtime } of this.#open.values()) longestMs = Math.max(longestMs, clockOf(runtime, nowMs));
    return longestMs;
  }

  /** The highest of all, of clock or hard cap. */
  ratio(limit: ResolvedLimit, nowMs: number): number {
    let ratio = 0;
    for (const { runtime } of this.#open.values()) ratio = Math.max(ratio, readCall(runtime, limit, nowMs).ratio);
    return ratio;
  }

  /** Milliseconds until a call enters its next stage, if nothing happens meanwhile; null: none will. */
  untilNextStageMs(limit: ResolvedLimit | null, nowMs: number): number | null {
    if (limit === null) return null;
    let nextMs = Infinity;
    for (const { runtime, phase } of this.#open.values()) {
      if (phase === 'cancelled') continue;
      nextMs = Math.min(nextMs, untilNextStageMs(runtime, limit, nowMs) ?? Infinity);
    }
    return nextMs === Infinity ? null : nextMs;
  }

  /** Enters and leaves stages. */
  observe(limit: ResolvedLimit | null, nowMs: number, exitMargin: number): readonly Decision[] {
    const decisions: Decision[] = [];
    for (const call of this.#open.values()) {
      const decision = limit === null ? unlimited(call) : judge(call, limit, nowMs, exitMargin);
      if (decision !== null) decisions.push(decision);
    }
    return decisions;
  }

  /** Right before an act; null: the call is over. */
  reread(number: number, limit: ResolvedLimit, nowMs: number): (CallReading & { readonly stage: Stage }) | null {
    const call = this.#open.get(number);
    if (call === undefined) return null;
    const reading = readCall(call.runtime, limit, nowMs);
    return { ...reading, stage: stageOf(reading.ratio, limit.thresholds) };
  }

  /** It was not acted on: its stage is what the re-read showed. */
  withdraw(number: number, stage: Stage, limit: ResolvedLimit): void {
    const call = this.#open.get(number);
    if (call !== undefined) call.runtime = inStage(call.runtime, stage, limit);
  }

  /** @returns false where it is over, or was cancelled before */
  cancel(number: number, why: CallCancellation): boolean {
    const call = this.#open.get(number);
    if (call === undefined || call.phase !== 'open') return false;
    call.phase = 'cancelled';
    call.onCancel(why);
    return true;
  }
}

function judge(call: OpenCall, limit: ResolvedLimit, nowMs: number, exitMargin: number): Decision | null {
  const { ref, runtime } = call;
  // The ladder goes on when its server has answered the ping, or has not.
  if (call.phase === 'cancelled') return null;
  const from = runtime.stage;
  const to = stageOfCall(runtime, limit, nowMs, exitMargin);
  const isFirst = call.phase === 'unanswered';
  if (rank(to) === rank(from) && !isFirst) return null;
  if (isFirst) call.phase = 'acted';
  call.runtime = inStage(runtime, to, limit);
  const common = { resource: 'runtime', call: ref, ...readCall(runtime, limit, nowMs) } as const;
  if (to === 'normal' || rank(to) < rank(from))
    return from === 'normal' ? null : { kind: 'leave', from, to, ...common };
  return {
    kind: rank(to) > rank(from) ? 'enter' : 'repeat',
    from,
    to,
    cause: isFirst ? 'unanswered' : 'samples',
    ...common,
  };
}

/** The limit was taken away: what had been entered is left. */
function unlimited(call: OpenCall): Decision | null {
  const { stage, boundaryMs } = call.runtime;
  if (stage === 'normal') return null;
  call.runtime = { ...call.runtime, stage: 'normal', boundaryMs: 0 };
  const figures = { usage: boundaryMs, limit: boundaryMs, ratio: 1 };
  return { kind: 'leave', resource: 'runtime', from: stage, to: 'normal', call: call.ref, ...figures };
}

function left(ref: OpenCallRef, runtime: CallRuntime, limit: ResolvedLimit, nowMs: number): Decision | null {
  const { stage } = runtime;
  if (stage === 'normal') return null;
  const reading = readCall(runtime, limit, nowMs);
  return { kind: 'leave', resource: 'runtime', from: stage, to: 'normal', call: ref, ...reading };
}
