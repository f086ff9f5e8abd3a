/**
 * New calls to a tool that is held back wait until it has recovered: so many at most, and so long. CPU holds no call back: a tool that
 * computes at its quota is at work, and its quota is in force already.
 */

import { rank } from '../../core/ladder.ts';
import { RESOURCES } from '../../core/resource.ts';
import type { Resource } from '../../core/resource.ts';
import type { StageChange } from '../../supervisor/run-events.ts';
import type { ServedRun } from '../../supervisor/served.ts';

/** Of one process. A client that sees its calls refused backs off; one that waits for ever does not. */
const WAITING_MAX = 100;
const PATIENCE_MS = 30_000;

export type Admission =
  | { readonly kind: 'admitted' }
  | { readonly kind: 'aborted' }
  | { readonly kind: 'refused'; readonly why: 'full' | 'late'; readonly change: StageChange | null };

export class Admissions {
  readonly #waiting = new WeakMap<ServedRun, number>();
  /** What braked it last. */
  readonly #changes = new WeakMap<ServedRun, StageChange>();

  /** Resolves at once for a tool that nothing holds back. */
  enter(run: ServedRun, signal: AbortSignal): Promise<Admission> | null {
    if (!isHeldBack(run) || run.ending !== null) return null;
    const waiting = this.#waiting.get(run) ?? 0;
    if (waiting >= WAITING_MAX)
      return Promise.resolve({ kind: 'refused', why: 'full', change: this.#changes.get(run) ?? null });
    this.#waiting.set(run, waiting + 1);
    return this.#wait(run, signal).finally(() => this.#waiting.set(run, (this.#waiting.get(run) ?? 1) - 1));
  }

  /** Call for each run once: what holds it back is only told when it changes. */
  watch(run: ServedRun): void {
    run.listen({
      onStage: (change) => {
        if (HOLDING.includes(change.resource) && rank(change.to) >= rank('throttled')) this.#changes.set(run, change);
      },
    });
  }

  #wait(run: ServedRun, signal: AbortSignal): Promise<Admission> {
    return new Promise((resolve) => {
      const done = (admission: Admission): void => {
        clearTimeout(timer);
        stopListening();
        signal.removeEventListener('abort', onAbort);
        resolve(admission);
      };
      const onAbort = (): void => done({ kind: 'aborted' });
      const timer = setTimeout(
        () => done({ kind: 'refused', why: 'late', change: this.#changes.get(run) ?? null }),
        PATIENCE_MS,
      );
      timer.unref();
      const look = (): void => {
        if (!isHeldBack(run)) done({ kind: 'admitted' });
      };
      const stopListening = run.listen({
        onStage: look,
        // Whoever sends it now gets the reason of that end.
        onEnding: () => done({ kind: 'admitted' }),
      });
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
      else look();
    });
  }
}

const HOLDING: readonly Resource[] = RESOURCES.filter((resource) => resource !== 'cpu' && resource !== 'runtime');

function isHeldBack(run: ServedRun): boolean {
  if (run.definition.dryRun || rank(run.stage) < rank('throttled')) return false;
  return HOLDING.some((resource) => rank(run.stageOf(resource)) >= rank('throttled'));
}
