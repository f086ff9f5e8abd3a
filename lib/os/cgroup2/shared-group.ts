/** Holds several runs together, by the group around theirs. The parts are those of a run; v1 brings its own. */

import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';

import type { ResolvedLimits } from '../../core/limits.ts';
import { NO_LIMITS } from '../../core/limits.ts';
import type { Resource } from '../../core/resource.ts';
import { assertNever } from '../../core/result.ts';
import { GONE, measured, type Reading, unsupported } from '../../core/usage.ts';
import type { LimitOutcome } from '../backend.ts';
import type { SharedGroup, SharedGroups } from '../outer-groups.ts';
import { isGone } from '../kernel-file.ts';
import { contextGroupName } from './context-groups.ts';
import { Cpu2 } from './cpu.ts';
import { isSameGroup } from './directory.ts';
import { Memory2, MemoryStall } from './memory.ts';
import { type CpuPart, type MemoryPart, memoryHighBytes, type TasksPart } from './parts.ts';
import { Pids } from './pids.ts';
import type { Tops } from './tops.ts';

export function sharedGroups(tops: Tops, open: (name: string | null) => SharedGroup | null): SharedGroups {
  return { nameOf: contextGroupName, groupOf: (record) => tops.placeOf(record), open };
}

/** Null when it is not there. */
export function openSharedGroup2(directory: string): SharedGroup | null {
  return openParts([directory], () => {
    const has = (file: string): boolean => existsSync(join(directory, file));
    return {
      memory: has('memory.current') ? new Memory2(directory, true, false) : null,
      cpu: has('cpu.max') ? new Cpu2(directory) : null,
      tasks: has('pids.current') ? new Pids(directory) : null,
      stall: MemoryStall.tryOpen(directory),
      setQuota: null,
    };
  });
}

/** Of groups that nobody keeps in step any more: what is in them would be held at limits of long ago. */
export async function liftCaps(groups: readonly (SharedGroup | null)[]): Promise<void> {
  for (const group of groups) {
    if (group === null) continue;
    try {
      await group.apply(NO_LIMITS, 0);
      for (const brake of ['cpu_quota', 'memory_high'] as const)
        if (group.supports(brake) === true) await group.setBrake(brake, null);
    } finally {
      group.close();
    }
  }
}

export interface SharedParts {
  /** Made for a TMPDIR on a tmpfs: those of the runs may lie there. */
  readonly memory: MemoryPart | null;
  readonly cpu: CpuPart | null;
  readonly tasks: TasksPart | null;
  readonly stall: MemoryStall | null;
  /** Where setting a quota needs more than the part itself does. */
  readonly setQuota: ((percent: number | null) => Promise<void>) | null;
}

/** @param directories one for each hierarchy @returns null when one of them is not there */
export function openParts(directories: readonly string[], open: () => SharedParts): SharedGroup | null {
  try {
    const inodes = new Map(directories.map((directory) => [directory, statSync(directory).ino]));
    return new Shared(inodes, open());
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

class Shared implements SharedGroup {
  readonly #inodes: ReadonlyMap<string, number>;
  readonly #parts: SharedParts;
  #roomBytes = 0;

  constructor(inodes: ReadonlyMap<string, number>, parts: SharedParts) {
    this.#inodes = inodes;
    this.#parts = parts;
  }

  get exists(): boolean {
    for (const [directory, inode] of this.#inodes) if (!isSameGroup(directory, inode)) return false;
    return true;
  }

  sample(nowMs: number, fresh: boolean): { readonly memory: Reading; readonly tasks: Reading } {
    const { memory, tasks } = this.#parts;
    return {
      memory: memory === null ? NO_MEMORY : reading(memory.unreclaimableBytes(nowMs, fresh, 0), nowMs),
      tasks: tasks === null ? NO_TASKS : reading(tasks.current(), nowMs),
    };
  }

  memoryStallMs(): number | null {
    return this.#parts.stall?.fullMs() ?? null;
  }

  async apply(limits: ResolvedLimits, tempRoomBytes: number): Promise<readonly LimitOutcome[]> {
    const { memory, tasks, cpu } = this.#parts;
    this.#roomBytes = tempRoomBytes;
    const roomy = withRoom(limits, tempRoomBytes);
    const outcomes: LimitOutcome[] = [];
    outcomes.push(memory === null ? polled('memory', limits) : withoutNote(await memory.apply(roomy)));
    outcomes.push(tasks === null ? polled('tasks', limits) : await tasks.apply(limits));
    const isHeld = limits.cpu !== null && cpu?.quotaSupport === true;
    outcomes.push(isHeld ? { resource: 'cpu', enforcement: 'kernel' } : polled('cpu', limits));
    return outcomes;
  }

  supports(action: 'cpu_quota' | 'memory_high'): true | { readonly reason: string } {
    const { memory, cpu } = this.#parts;
    switch (action) {
      case 'cpu_quota':
        return cpu?.quotaSupport ?? { reason: 'there is no cpu controller' };
      case 'memory_high':
        return memory?.highSupport ?? { reason: 'there is no memory controller' };
    }
    return assertNever(action);
  }

  async setBrake(action: 'cpu_quota' | 'memory_high', limits: ResolvedLimits | null): Promise<void> {
    const { memory, cpu, setQuota } = this.#parts;
    if (action === 'memory_high') {
      await memory?.setHigh(limits === null ? null : memoryHighBytes(withRoom(limits, this.#roomBytes), true));
      return;
    }
    const percent = limits?.cpu?.limit ?? null;
    await (setQuota === null ? cpu?.setQuota(percent) : setQuota(percent));
  }

  close(): void {
    const { memory, cpu, tasks, stall } = this.#parts;
    for (const part of [memory, cpu, tasks, stall]) part?.close();
  }
}

const NO_MEMORY = unsupported('there is no memory controller');
const NO_TASKS = unsupported('there is no pids controller');

function reading(value: number, nowMs: number): Reading {
  return Number.isNaN(value) ? GONE : measured(value, 'cgroup', nowMs);
}

function polled(resource: Resource, limits: ResolvedLimits): LimitOutcome {
  return { resource, enforcement: limits[resource] === null ? 'none' : 'polled' };
}

/** That of a run tells of its processes. */
function withoutNote(outcome: LimitOutcome): LimitOutcome {
  return outcome.enforcement === 'kernel' ? { resource: outcome.resource, enforcement: 'kernel' } : outcome;
}

/** What the tmpfs of the runs may hold comes on top, once and whole. */
function withRoom(limits: ResolvedLimits, roomBytes: number): ResolvedLimits {
  const { memory } = limits;
  if (roomBytes === 0 || memory === null) return { ...limits, temp_storage: null };
  const whole = { warning: 1, throttled: 1, cleanup: 1, emergency: 1 };
  return { ...limits, temp_storage: { ...memory, resource: 'temp_storage', limit: roomBytes, thresholds: whole } };
}
