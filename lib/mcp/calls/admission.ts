/**
 * New calls to a tool that is held back, or that works on as many as it may while it is degraded: they wait until it has
 * recovered or another is over, so many at most and so long; or are refused at once.
 */

import type { HeldBack } from '../../supervisor/held-back.ts';
import type { ServedRun } from '../../supervisor/served.ts';

export type Admission =
  | { readonly kind: 'admitted' }
  | { readonly kind: 'aborted' }
  /** The run ends: what is sent to it now would be begun and not finished. */
  | { readonly kind: 'ended' }
  /** `full`: as many wait already as may. `late`: it did not recover in time. `closed`: none is to wait. */
  | { readonly kind: 'refused'; readonly why: 'full' | 'late' | 'closed'; readonly held: Obstacle };

/** What a call waits for. `callsAtOnce`: for another one to be over. */
export type Obstacle = HeldBack | { readonly how: 'queue_calls'; readonly callsAtOnce: number };

interface Gate {
  waiting: number;
  /** Admitted and not over. */
  open: number;
  /** Of those who wait, in their order. */
  readonly looks: Set<() => void>;
}

export class Admissions {
  readonly #gates = new WeakMap<ServedRun, Gate>();

  /** Null: it may go at once. Who is let in must `leave`. */
  enter(run: ServedRun, signal: AbortSignal): Promise<Admission> | null {
    const gate = this.#gateOf(run);
    const held = obstacle(run, gate);
    if (held === null) {
      gate.open++;
      return null;
    }
    if (held.how === 'refuse_calls') return Promise.resolve({ kind: 'refused', why: 'closed', held });
    // A client that sees its calls refused backs off; one that waits for ever does not.
    if (gate.waiting >= run.queue.queue) return Promise.resolve({ kind: 'refused', why: 'full', held });
    gate.waiting++;
    return wait(run, gate, held, signal).finally(() => gate.waiting--);
  }

  /** A call that was let in is over. */
  leave(run: ServedRun): void {
    const gate = this.#gateOf(run);
    gate.open--;
    for (const look of gate.looks) look();
  }

  #gateOf(run: ServedRun): Gate {
    const known = this.#gates.get(run);
    if (known !== undefined) return known;
    const made: Gate = { waiting: 0, open: 0, looks: new Set() };
    this.#gates.set(run, made);
    return made;
  }
}

function wait(run: ServedRun, gate: Gate, first: Obstacle, signal: AbortSignal): Promise<Admission> {
  return new Promise((resolve) => {
    let held = first;
    const done = (admission: Admission): void => {
      clearTimeout(timer);
      stopListening();
      gate.looks.delete(look);
      signal.removeEventListener('abort', onAbort);
      resolve(admission);
    };
    const onAbort = (): void => done({ kind: 'aborted' });
    const timer = setTimeout(() => done({ kind: 'refused', why: 'late', held }), run.queue.waitMs);
    timer.unref();
    const look = (): void => {
      const now = obstacle(run, gate);
      if (now === null) {
        gate.open++;
        return done({ kind: 'admitted' });
      }
      held = now;
      if (now.how === 'refuse_calls') done({ kind: 'refused', why: 'closed', held });
    };
    const stopListening = run.listen({
      onStage: look,
      onHeld: look,
      onEnding: () => done({ kind: 'ended' }),
    });
    gate.looks.add(look);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    else look();
  });
}

function obstacle(run: ServedRun, { open }: Gate): Obstacle | null {
  if (run.ending !== null) return null;
  const held = run.heldBack();
  if (held !== null) return held;
  const { callsAtOnce } = run;
  return callsAtOnce === null || open < callsAtOnce ? null : { how: 'queue_calls', callsAtOnce };
}
