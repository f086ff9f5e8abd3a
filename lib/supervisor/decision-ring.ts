/** The last decisions about one run, for a post-mortem. */

import type { Decision } from '../core/policy-decision.ts';

const KEPT = 32;

export interface Decided {
  readonly decision: Decision;
  readonly atMs: number;
}

export class DecisionRing {
  /** Most runs never have any. */
  #kept: Decided[] | null = null;

  add(decision: Decision, atMs: number): void {
    const kept = (this.#kept ??= []);
    kept.push({ decision, atMs });
    if (kept.length > KEPT) kept.shift();
  }

  /** Oldest first. */
  get all(): readonly Decided[] {
    return this.#kept ?? [];
  }
}
