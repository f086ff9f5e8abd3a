/** Runs of tools that are gone: whoever started one with `governor run` asks afterwards why it was stopped. */

import type { RunView } from './views.ts';

const KEPT = 100;

export class PastRuns {
  /** The one that ended last comes first. */
  #runs: readonly RunView[] = [];

  get all(): readonly RunView[] {
    return this.#runs;
  }

  add(runs: readonly RunView[]): void {
    this.#runs = newestFirst([...runs, ...this.#runs]).slice(0, KEPT);
  }

  of(tool: string): readonly RunView[] {
    return this.#runs.filter((run) => run.tool === tool);
  }

  find(id: string): RunView | undefined {
    return this.#runs.find((run) => run.id === id);
  }
}

/** By their end. Stable, so that two ends of the same millisecond stay as they came. */
export function newestFirst(ended: readonly RunView[]): RunView[] {
  return [...ended].sort((a, b) => (b.endedAt ?? '').localeCompare(a.endedAt ?? ''));
}
