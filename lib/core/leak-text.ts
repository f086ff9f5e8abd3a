/** What a verdict says, where it stands, and what lies outside that: for people, in every place that shows it. */

import { formatAmount, formatDuration } from './format.ts';
import type { GrowthByCall } from './leak-calls.ts';
import type { LeakSettings } from './leak.ts';
import type { LeakResource, Rise } from './leak-test.ts';

const MIB = 2 ** 20;

/** Growth in one window that is found; in the unit of the resource, or a share of the floor, whichever is more. */
export const LEAST_RISE: Readonly<Record<LeakResource, { readonly amount: number; readonly share: number }>> = {
  memory: { amount: 4 * MIB, share: 0.06 },
  file_handles: { amount: 12, share: 0 },
  sockets: { amount: 12, share: 0 },
  temp_storage: { amount: 4 * MIB, share: 0 },
  tasks: { amount: 12, share: 0 },
};

/** Where a verdict is worth little, or does not come. */
export function outsideThePoint({ warmUpMs, windowMs }: LeakSettings): readonly string[] {
  const window = formatDuration(windowMs);
  return [
    `no verdict before ${formatDuration(warmUpMs + windowMs)} after the start of a process, or after its first call`,
    `slower growth is found late or never: a longer window finds it`,
    `growth that ends by itself only after ${formatDuration(warmUpMs + windowMs / 2)} looks like a leak for as long as it goes on`,
    `what comes and goes in cycles longer than ${formatDuration(windowMs / 4)} may look like a leak while it rises`,
    `growth at fewer than about six moments in ${window} may be missed`,
  ];
}

const NAME: Readonly<Record<LeakResource, string>> = {
  memory: 'memory',
  file_handles: 'open files',
  sockets: 'sockets',
  temp_storage: 'temporary storage',
  tasks: 'tasks',
};

/** `memory never fell below 61 MiB, then 75 MiB: it grows 28 MiB an hour, 1.2 MiB per printEnv call` */
export function describeLeak(
  resource: LeakResource,
  { from, to, rise }: Rise,
  windowMs: number,
  byCall: readonly Pick<GrowthByCall, 'name' | 'perCall'>[],
): string {
  const hourly = formatAmount(resource, (rise / windowMs) * 3_600_000);
  const calls = byCall.map(({ name, perCall }) => `, ${perAmount(resource, perCall)} per ${name} call`).join('');
  return `${NAME[resource]} does not come down any more: from ${formatAmount(resource, from)} to ${formatAmount(resource, to)} at its lowest, ${hourly} an hour${calls}`;
}

/** A call may open half a socket, on average. */
function perAmount(resource: LeakResource, perCall: number): string {
  const isBytes = resource === 'memory' || resource === 'temp_storage';
  return isBytes ? formatAmount(resource, perCall) : String(Math.round(perCall * 100) / 100);
}
