/** Watches runs whose stop was not proven: kills again, looks again, and lets them go only when nothing is left. */

import type { Assembled } from './assembly.ts';
import type { SupervisorPorts } from './ports.ts';

const RECHECK_MS = 5_000;

export interface UnprovenOptions {
  readonly ports: SupervisorPorts;
  readonly runs: () => Iterable<Assembled>;
  /** The run is over now, and its containment is gone. */
  onProven(assembled: Assembled): void;
}

export class UnprovenWatch {
  readonly #options: UnprovenOptions;
  #timer: NodeJS.Timeout | null = null;
  #look: Promise<void> | null = null;

  constructor(options: UnprovenOptions) {
    this.#options = options;
  }

  arm(): void {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.recheck().catch((error: unknown) => {
        this.#options.ports.log.error({ err: error }, 'a run that is not proven to be stopped could not be looked at');
        this.arm();
      });
    }, RECHECK_MS);
  }

  /** One look at a time: a second one joins it. */
  recheck(): Promise<void> {
    this.#look ??= this.#recheck().finally(() => (this.#look = null));
    return this.#look;
  }

  async #recheck(): Promise<void> {
    for (const assembled of [...this.#options.runs()]) {
      const { run, progress } = assembled;
      if (run.state !== 'unproven') continue;
      const { containment } = run.init;
      await containment.killer.kill();
      if (containment.membership.members().length > 0) {
        this.arm();
        continue;
      }
      await containment.remove(1_000);
      containment.close();
      progress('stopping');
      this.#options.ports.ledger.remove(run.id);
      run.state = 'ended';
      this.#options.onProven(assembled);
    }
  }

  cancel(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
