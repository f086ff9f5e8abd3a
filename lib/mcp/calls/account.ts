/** What each context has asked for and what that cost: calls, outcomes, time, CPU time. Bounded: the contexts that were quiet longest go first. */

import { BoundedMap } from '../../core/bounded-map.ts';

/** `expired`: it ran into its deadline. */
export type CallOutcome = 'ok' | 'tool_error' | 'error' | 'refused' | 'cancelled' | 'expired' | 'stopped';

export interface CallRecord {
  readonly tool: string;
  readonly context: string;
  /** Null: none, it was answered from what is kept. */
  readonly run: string | null;
  readonly method: string;
  /** Of the tool, prompt or resource; null where the request names none. */
  readonly name: string | null;
  readonly outcome: CallOutcome;
  readonly durationMs: number;
  /** Milliseconds; null where it could not be read. */
  readonly cpuTimeMs: number | null;
  /** Another call was open in the same process: the CPU time is its part by the rule of `CpuShares`. */
  readonly isShared: boolean;
}

export interface ContextAccount {
  readonly context: string;
  readonly calls: number;
  /** Not `ok`. */
  readonly failures: number;
  readonly durationMs: number;
  readonly cpuTimeMs: number;
  /** Of the CPU time, what was split among calls. */
  readonly sharedCpuTimeMs: number;
  /** Calls whose CPU time could not be read. */
  readonly unmeasured: number;
}

const CONTEXTS_MAX = 1_000;

export class Accounts {
  readonly #now: () => number;
  /** The one that was heard of last at the end. */
  readonly #accounts = new Map<string, ContextAccount>();
  /** Contexts that were ended, and when. */
  readonly #ended = new BoundedMap<string, number>(CONTEXTS_MAX);

  /** @param now monotonic, milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  add({ context, outcome, durationMs, cpuTimeMs, isShared }: CallRecord): void {
    const endedMs = this.#ended.get(context);
    // A call that was open when its context ended is charged a moment later, and is no reason to begin anew.
    if (endedMs !== undefined && this.#now() - durationMs <= endedMs) return;
    const before = this.#accounts.get(context) ?? emptyAccount(context);
    this.#accounts.delete(context);
    this.#accounts.set(context, {
      context,
      calls: before.calls + 1,
      failures: before.failures + (outcome === 'ok' ? 0 : 1),
      durationMs: before.durationMs + durationMs,
      cpuTimeMs: before.cpuTimeMs + (cpuTimeMs ?? 0),
      sharedCpuTimeMs: before.sharedCpuTimeMs + (isShared ? (cpuTimeMs ?? 0) : 0),
      unmeasured: before.unmeasured + (cpuTimeMs === null ? 1 : 0),
    });
    const oldest = this.#accounts.keys().next();
    if (this.#accounts.size > CONTEXTS_MAX && oldest.done !== true) this.#accounts.delete(oldest.value);
  }

  of(context: string): ContextAccount | null {
    return this.#accounts.get(context) ?? null;
  }

  /** @returns false: it has none */
  forget(context: string): boolean {
    this.#ended.set(context, this.#now());
    return this.#accounts.delete(context);
  }

  /** The one that was heard of last first. */
  all(): readonly ContextAccount[] {
    return [...this.#accounts.values()].reverse();
  }
}

function emptyAccount(context: string): ContextAccount {
  return { context, calls: 0, failures: 0, durationMs: 0, cpuTimeMs: 0, sharedCpuTimeMs: 0, unmeasured: 0 };
}
