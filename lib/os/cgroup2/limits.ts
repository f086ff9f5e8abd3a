/** Puts limits in force on the groups of a run. */

import type { ResolvedLimits } from '../../core/limits.ts';
import { type Resource, RESOURCES } from '../../core/resource.ts';
import { assertNever } from '../../core/result.ts';
import type { LimitEnforcer, LimitOutcome, Membership, ProcessIdentity } from '../backend.ts';
import { limitHardNofile } from '../procfs/nofile.ts';
import type { TreeReader } from '../procfs/tree-reader.ts';
import { holdTempStorage, tmpfsShrinks } from '../tmpfs-mount.ts';
import type { GroupBrakes } from './brakes.ts';
import type { CpuPart, MemoryPart, TasksPart } from './parts.ts';

export interface LimitedParts {
  readonly tempDir: string;
  readonly memory: MemoryPart | null;
  readonly cpu: CpuPart | null;
  readonly tasks: TasksPart | null;
}

export class GroupLimits implements LimitEnforcer {
  readonly #parts: LimitedParts;
  readonly #membership: Membership;
  readonly #brakes: GroupBrakes;
  readonly #tree: TreeReader;
  #limits: ResolvedLimits | null = null;

  constructor(parts: LimitedParts, membership: Membership, brakes: GroupBrakes, tree: TreeReader) {
    this.#parts = parts;
    this.#membership = membership;
    this.#brakes = brakes;
    this.#tree = tree;
  }

  async apply(limits: ResolvedLimits): Promise<readonly LimitOutcome[]> {
    this.#limits = limits;
    this.#tree.setMemoryLimit(limits.memory?.limit ?? null);
    const outcomes: LimitOutcome[] = [];
    // Memory has room for a tmpfs at every instant: a larger one comes after its cap, a smaller one before.
    const order = tmpfsShrinks(this.#parts.tempDir, limits.temp_storage) ? RESOURCES.toReversed() : RESOURCES;
    for (const resource of order) outcomes.push(await this.#applyOne(resource, limits));
    await this.#brakes.refresh(limits);
    return outcomes;
  }

  /** A process came in: its own limits are set before it goes on. */
  attached(identity: ProcessIdentity): void {
    limitHardNofile([identity], this.#limits?.file_handles ?? null);
  }

  async #applyOne(resource: Resource, limits: ResolvedLimits): Promise<LimitOutcome> {
    const { memory, cpu, tasks } = this.#parts;
    switch (resource) {
      case 'memory':
        return memory === null ? polled(resource, limits) : memory.apply(limits);
      case 'tasks':
        return tasks === null ? polled(resource, limits) : tasks.apply(limits);
      case 'cpu':
        if (limits.cpu === null || cpu?.quotaSupport !== true) return polled(resource, limits);
        return { resource, enforcement: 'kernel', note: 'by a quota while throttled' };
      case 'file_handles':
        return limitHardNofile(this.#membership.members(), limits.file_handles);
      case 'temp_storage':
        return holdTempStorage(this.#parts.tempDir, limits.temp_storage);
      case 'sockets':
      case 'runtime':
        return polled(resource, limits);
    }
    return assertNever(resource);
  }
}

function polled(resource: Resource, limits: ResolvedLimits): LimitOutcome {
  if (limits[resource] === null) return { resource, enforcement: 'none', note: 'no limit is set' };
  return { resource, enforcement: 'polled' };
}
