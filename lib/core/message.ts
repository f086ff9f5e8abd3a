/** Sentences about usage, for people: the reason of a stop must be the clearest thing they see. */

import { formatBytes, formatDuration } from './format.ts';
import type { Resource } from './resource.ts';
import { UNIT } from './resource.ts';
import { assertNever } from './result.ts';

const NAME: Readonly<Record<Resource, string>> = {
  memory: 'memory',
  cpu: 'CPU',
  file_handles: 'open files',
  sockets: 'sockets',
  runtime: 'runtime',
  temp_storage: 'temporary storage',
  tasks: 'tasks',
};

export function formatAmount(resource: Resource, value: number): string {
  const unit = UNIT[resource];
  switch (unit) {
    case 'bytes':
      return formatBytes(value);
    case 'ms':
      return formatDuration(value);
    case 'percent':
      return `${Math.round(value)} %`;
    case 'count':
      return String(Math.round(value));
    default:
      return assertNever(unit);
  }
}

/** `memory 412 MiB is 161 % of its limit of 256 MiB` */
export function describeUsage(resource: Resource, usage: number, limit: number, ratio: number): string {
  return `${NAME[resource]} ${formatAmount(resource, usage)} is ${Math.round(ratio * 100)} % of its limit of ${formatAmount(resource, limit)}`;
}
