/** What a run tells to whoever serves its tool: that its stage changed, that it is under pressure, that it ends. */

import type { Stage, ThresholdStage } from '../core/ladder.ts';
import type { Resource } from '../core/resource.ts';
import type { EndRequest } from './run.ts';
import type { EndView } from './views.ts';

/** A limit and what was seen of it, in the unit of the resource. */
export interface Pressure {
  readonly resource: Resource;
  readonly usage: number;
  readonly limit: number;
  /** usage / limit */
  readonly ratio: number;
  readonly stage: ThresholdStage;
  /** runtime of a call: which one, such as `tools/call search`. */
  readonly call?: string;
}

export interface StageChange extends Omit<Pressure, 'stage' | 'call'> {
  readonly from: Stage;
  readonly to: Stage;
}

/** Why the ladder ended it. `usage` and what follows from it are null where the kernel was faster than any reading. */
export interface Breach {
  readonly usage: number | null;
  readonly limit: number | null;
  readonly ratio: number | null;
  readonly stage: ThresholdStage;
  readonly action: string;
}

export interface RunListener {
  onStage?(change: StageChange): void;
  /** A limit that it shares holds its new calls back, or no more. */
  onHeld?(): void;
  /** The action `notify`: it is told that a stage was entered. */
  onPressure?(pressure: Pressure): void;
  /** It is to be ended when nothing is open with it, or is not any more: see `recycle` of the run. */
  onRecycle?(): void;
  /** Its end begins; nothing of it was touched yet. */
  onEnding?(request: EndRequest): void;
  /** It is over, or `unproven`. */
  onEnded?(end: EndView): void;
}

export class RunEvents {
  readonly #listeners = new Set<RunListener>();
  readonly #onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** Returns a disposer. */
  add(listener: RunListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  stage(change: StageChange): void {
    this.#tell((listener) => listener.onStage?.(change));
  }

  held(): void {
    this.#tell((listener) => listener.onHeld?.());
  }

  pressure(pressure: Pressure): void {
    this.#tell((listener) => listener.onPressure?.(pressure));
  }

  recycle(): void {
    this.#tell((listener) => listener.onRecycle?.());
  }

  ending(request: EndRequest): void {
    this.#tell((listener) => listener.onEnding?.(request));
  }

  ended(end: EndView): void {
    this.#tell((listener) => listener.onEnded?.(end));
    this.#listeners.clear();
  }

  /** A listener that fails must not keep a run from being braked or ended. */
  #tell(what: (listener: RunListener) => void): void {
    for (const listener of this.#listeners) {
      try {
        what(listener);
      } catch (error) {
        this.#onError(error);
      }
    }
  }
}
