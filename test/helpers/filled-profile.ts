/** Profiles of tools that did exactly what a test says, for so long, without the time that takes. */

import { NO_KERNEL_EVENTS, measured, unsupported } from '../../lib/core/usage.ts';
import type { Readings, UsageRecord } from '../../lib/core/usage.ts';
import { newRunTrack, UsageProfile } from '../../lib/core/usage-profile.ts';
import type { RunTrack } from '../../lib/core/usage-profile.ts';
import type { Resource } from '../../lib/core/resource.ts';

export type Amounts = Readonly<Partial<Record<Resource | 'inodes', number>>>;

/** One sample; what is not named cannot be read. */
export function usageAt(atMs: number, amounts: Amounts): UsageRecord {
  const reading = (resource: Resource): Readings[Resource] => {
    const value = amounts[resource];
    return value === undefined ? unsupported(`no ${resource} here`) : measured(value, 'exact', atMs);
  };
  const temp = reading('temp_storage');
  const { inodes } = amounts;
  return {
    runId: 'run0000001',
    atMs,
    stalled: false,
    kernel: NO_KERNEL_EVENTS,
    readings: {
      memory: reading('memory'),
      cpu: reading('cpu'),
      file_handles: reading('file_handles'),
      sockets: reading('sockets'),
      runtime: reading('runtime'),
      temp_storage: temp.kind === 'measured' && inodes !== undefined ? { ...temp, inodes } : temp,
      tasks: reading('tasks'),
    },
  };
}

/** Samples of one run every `everyMs`, from `fromMs` on. @returns the time after the last one */
export function feed(
  profile: UsageProfile,
  amounts: Amounts | ((index: number) => Amounts),
  options: {
    readonly hours: number;
    readonly fromMs?: number;
    readonly everyMs?: number;
    readonly track?: RunTrack;
    readonly ofCalls?: boolean;
  },
): number {
  const { hours, fromMs = 0, everyMs = 5_000, track = newRunTrack(), ofCalls = false } = options;
  const count = Math.round((hours * 3_600_000) / everyMs) + 1;
  for (let index = 0; index < count; index++) {
    const atMs = fromMs + index * everyMs;
    profile.observe(usageAt(atMs, typeof amounts === 'function' ? amounts(index) : amounts), track, ofCalls);
  }
  return fromMs + count * everyMs;
}

/** The same amounts for so many hours. */
export function filledProfile({ hours, ...amounts }: Amounts & { readonly hours: number }): UsageProfile {
  const profile = new UsageProfile();
  feed(profile, amounts, { hours });
  return profile;
}
