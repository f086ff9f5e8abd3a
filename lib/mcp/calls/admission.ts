/** New calls to a tool that is held back: they wait until it has recovered, so many at most and so long; or are refused at once. */

import type { HeldBack } from '../../supervisor/held-back.ts';
import type { ServedRun } from '../../supervisor/served.ts';

export type Admission =
  | { readonly kind: 'admitted' }
  | { readonly kind: 'aborted' }
  /** The run ends: what is sent to it now would be begun and not finished. */
  | { readonly kind: 'ended' }
  /** `full`: as many wait already as may. `late`: it did not recover in time. `closed`: none is to wait. */
  | { readonly kind: 'refused'; readonly why: 'full' | 'late' | 'closed'; readonly held: HeldBack };

export class Admissions {
  readonly #waiting = new WeakMap<ServedRun, number>();

  /** Null: it may go at once. */
  enter(run: ServedRun, signal: AbortSignal): Promise<Admission> | null {
    const held = heldBack(run);
    if (held === null) return null;
    if (held.how === 'refuse_calls') return Promise.resolve({ kind: 'refused', why: 'closed', held });
    const waiting = this.#waiting.get(run) ?? 0;
    // A client that sees its calls refused backs off; one that waits for ever does not.
    if (waiting >= run.queue.queue) return Promise.resolve({ kind: 'refused', why: 'full', held });
    this.#waiting.set(run, waiting + 1);
    return wait(run, held, signal).finally(() => this.#waiting.set(run, (this.#waiting.get(run) ?? 1) - 1));
  }
}

function wait(run: ServedRun, first: HeldBack, signal: AbortSignal): Promise<Admission> {
  return new Promise((resolve) => {
    let held = first;
    const done = (admission: Admission): void => {
      clearTimeout(timer);
      stopListening();
      signal.removeEventListener('abort', onAbort);
      resolve(admission);
    };
    const onAbort = (): void => done({ kind: 'aborted' });
    const timer = setTimeout(() => done({ kind: 'refused', why: 'late', held }), run.queue.waitMs);
    timer.unref();
    const look = (): void => {
      const now = heldBack(run);
      if (now === null) return done({ kind: 'admitted' });
      held = now;
      if (now.how === 'refuse_calls') done({ kind: 'refused', why: 'closed', held });
    };
    const stopListening = run.listen({
      onStage: look,
      onHeld: look,
      onEnding: () => done({ kind: 'ended' }),
    });
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    else look();
  });
}

function heldBack(run: ServedRun): HeldBack | null {
  return run.ending === null ? run.heldBack() : null;
}
