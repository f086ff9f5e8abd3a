/** What calls came to between two posts to the worker, by tool, context, method and name; bounded. */

import { addSums } from './totals.ts';
import type { CallSums, CallTotal } from './totals.ts';

/** Different ones; the others are added up without a name. */
const CALLS_MAX = 1_000;

const NO_CALLS: CallSums = {
  calls: 0,
  failures: 0,
  durationMs: 0,
  maxMs: 0,
  cpuTimeMs: 0,
  sharedCpuTimeMs: 0,
  unmeasured: 0,
};

export class CallTally {
  readonly #calls = new Map<string, CallTotal>();

  get all(): readonly CallTotal[] {
    return [...this.#calls.values()];
  }

  add(key: Pick<CallTotal, 'tool' | 'context' | 'method' | 'name'>, sums: CallSums): void {
    const named = `${key.tool}\0${key.context}\0${key.method}\0${key.name}`;
    const isMore = this.#calls.size >= CALLS_MAX && !this.#calls.has(named);
    const of = isMore ? `${key.tool}\0` : named;
    const before = this.#calls.get(of) ?? {
      ...key,
      ...(isMore ? { context: '', method: '', name: '' } : {}),
      ...NO_CALLS,
    };
    this.#calls.set(of, { ...before, ...addSums(before, sums) });
  }

  clear(): void {
    this.#calls.clear();
  }
}
