/** Brakes that work on processes one by one. A cgroup backend has better ones for CPU and memory, and uses `soft_nofile` from here. */

import type { ProcessIdentity } from '../../core/identity.ts';
import type { ResolvedLimits } from '../../core/limits.ts';
import { assertNever } from '../../core/result.ts';
import type { Brakes } from '../backend.ts';
import { NiceBrake } from './nice.ts';
import { SoftNofileBrake } from './nofile.ts';

type Brake = Parameters<Brakes['supports']>[0];

export class ProcessBrakes implements Brakes {
  readonly #nice: NiceBrake;
  readonly #nofile: SoftNofileBrake;

  /** @param members a fresh look at who is to be held back */
  constructor(members: () => readonly ProcessIdentity[]) {
    this.#nice = new NiceBrake(members);
    this.#nofile = new SoftNofileBrake(members);
  }

  supports(action: Brake): true | { readonly reason: string } {
    switch (action) {
      case 'nice':
        return true;
      case 'soft_nofile':
        return this.#nofile.supported;
      case 'cpu_quota':
        return { reason: 'a CPU quota needs a cgroup' };
      case 'memory_high':
        return { reason: 'memory.high needs cgroup v2' };
    }
    return assertNever(action);
  }

  async set(action: Brake, _limits: ResolvedLimits): Promise<void> {
    switch (action) {
      case 'nice':
        this.#nice.set();
        return;
      case 'soft_nofile':
        this.#nofile.set();
        return;
      case 'cpu_quota':
      case 'memory_high':
        throw new Error(`${action} is not supported without a cgroup`);
    }
    assertNever(action);
  }

  async lift(action?: Brake): Promise<void> {
    if (action === undefined || action === 'nice') this.#nice.lift();
    if (action === undefined || action === 'soft_nofile') this.#nofile.lift();
  }
}
