/** Holding a run back: by the kernel where a controller can, by each process where none can. */

import type { ResolvedLimits } from '../../core/limits.ts';
import { assertNever } from '../../core/result.ts';
import type { Brakes, Membership } from '../backend.ts';
import { isGone } from '../kernel-file.ts';
import { NiceBrake } from '../procfs/nice.ts';
import { SoftNofileBrake } from '../procfs/nofile.ts';
import { type CpuPart, type Freezer, memoryHighBytes, type MemoryPart, type Support } from './parts.ts';

export interface BrakeParts {
  readonly memory: MemoryPart | null;
  readonly cpu: CpuPart | null;
  readonly freezer: Freezer | null;
  readonly tempOnTmpfs: boolean;
}

type Brake = Parameters<Brakes['set']>[0];
const BRAKES: readonly Brake[] = ['cpu_quota', 'nice', 'memory_high', 'soft_nofile'];

export class GroupBrakes implements Brakes {
  readonly #parts: BrakeParts;
  readonly #nice: NiceBrake;
  readonly #handles: SoftNofileBrake;
  readonly #active = new Set<Brake>();

  constructor(parts: BrakeParts, membership: Membership) {
    this.#parts = parts;
    this.#nice = new NiceBrake(() => membership.members());
    this.#handles = new SoftNofileBrake(() => membership.members());
  }

  supports(action: Brake): Support {
    const { cpu, memory } = this.#parts;
    switch (action) {
      case 'cpu_quota':
        return cpu?.quotaSupport ?? { reason: 'there is no cpu controller' };
      case 'nice':
        return cpu?.quotaSupport === true ? { reason: 'not needed: the kernel holds the quota' } : true;
      case 'memory_high':
        return memory?.highSupport ?? { reason: 'there is no memory controller' };
      case 'soft_nofile':
        return this.#handles.supported;
    }
    return assertNever(action);
  }

  /** A resource without a limit has nothing to be held to: its brake is lifted instead. */
  async set(action: Brake, limits: ResolvedLimits): Promise<void> {
    this.#active.add(action);
    switch (action) {
      case 'cpu_quota':
        await this.#parts.cpu?.setQuota(limits.cpu?.limit ?? null);
        return;
      case 'nice':
        this.#nice.set();
        return;
      case 'memory_high':
        await this.#parts.memory?.setHigh(memoryHighBytes(limits, this.#parts.tempOnTmpfs));
        return;
      case 'soft_nofile':
        this.#handles.set();
        return;
    }
    assertNever(action);
  }

  async lift(action?: Brake): Promise<void> {
    if (action !== undefined) {
      await this.#release(action);
      return;
    }
    await this.#parts.freezer?.thaw();
    for (const brake of BRAKES) if (this.supports(brake) === true) await this.#release(brake);
  }

  /** Limits changed while brakes are on: they hold to the new ones. */
  async refresh(limits: ResolvedLimits): Promise<void> {
    for (const brake of this.#active) await this.set(brake, limits);
  }

  async #release(action: Brake): Promise<void> {
    this.#active.delete(action);
    try {
      await this.#write(action);
    } catch (error) {
      // A group that is gone holds nobody back.
      if (!isGone(error)) throw error;
    }
  }

  async #write(action: Brake): Promise<void> {
    switch (action) {
      case 'cpu_quota':
        await this.#parts.cpu?.setQuota(null);
        return;
      case 'nice':
        this.#nice.lift();
        return;
      case 'memory_high':
        await this.#parts.memory?.setHigh(null);
        return;
      case 'soft_nofile':
        this.#handles.lift();
        return;
    }
    assertNever(action);
  }
}
