/** Limits: `memory: 512MiB`, or `memory: { limit: 512MiB, reason: … }`. */

import { z } from 'zod';
import type { Resource } from '../lib/core/resource.ts';
import { NONE, amount, closed, count, orNone, text } from './fields.ts';
import { LIMIT_PARSERS } from './limit-parsers.ts';
import { COUNT_PATTERN, DURATION_PATTERN, PERCENT_PATTERN, SIZE_PATTERN } from './units.ts';
import type { Parsed } from './units.ts';

/** One limit as it was written; `limit: null` lifts a limit that would hold otherwise (`none`). */
export interface LimitValue {
  readonly limit: number | null;
  /** temp_storage only. */
  readonly inodes?: number | undefined;
  /** temp_storage only. */
  readonly backing?: 'disk' | 'tmpfs' | undefined;
  readonly reason?: string | undefined;
}

/** One limit in the notation of its resource → its unit, or null for `none`. */
export function parseLimit(resource: Resource, raw: unknown): Parsed<number | null> {
  return orNone(LIMIT_PARSERS[resource])(raw);
}

const TEXT = { type: 'string' };
const INPUT: Readonly<Record<Resource, Readonly<Record<string, unknown>>>> = {
  memory: { ...TEXT, pattern: orNonePattern(SIZE_PATTERN), examples: ['512MiB', '1.5GiB'] },
  cpu: { ...TEXT, pattern: orNonePattern(PERCENT_PATTERN), examples: ['50%', '200%'] },
  file_handles: countInput(),
  sockets: countInput(),
  runtime: { ...TEXT, pattern: orNonePattern(DURATION_PATTERN), examples: ['5m', '1h30m'] },
  temp_storage: { ...TEXT, pattern: orNonePattern(SIZE_PATTERN), examples: ['1GiB'] },
  tasks: countInput(),
};

const DESCRIPTIONS: Readonly<Record<Resource, string>> = {
  memory: 'Memory of the whole process tree that cannot be reclaimed, in bytes: 512MiB, 1.5GiB, 500MB.',
  cpu: 'CPU of the whole process tree, in percent of one core: 50%, 200%.',
  file_handles: 'Open file handles of the whole process tree.',
  sockets: 'Open sockets of the whole process tree.',
  runtime: 'How long a run may last: 30s, 5m, 1h30m.',
  temp_storage:
    'Size of the private temporary directory of a run: 1GiB, or { limit: 1GiB, inodes: 10000, backing: tmpfs }.',
  tasks: 'Processes and threads of the whole process tree.',
};

const BACKING =
  'Where the directory lies: disk (default), or tmpfs, in memory and held by the kernel at the emergency stage (needs the right to mount).';

export const LIMITS_SHAPE = {
  memory: limit('memory'),
  cpu: limit('cpu'),
  file_handles: limit('file_handles'),
  sockets: limit('sockets'),
  runtime: limit('runtime'),
  temp_storage: limit('temp_storage'),
  tasks: limit('tasks'),
};

/** `limits:` of a tool. */
export const LimitsSchema = closed(LIMITS_SHAPE, {
  adaptive: 'limits do not change by themselves',
}).meta({ description: 'Limits that are this tool’s own; the others come from its class.' });

/** New limits for a live tool (`PATCH /v1/tools/{name}`): same notation; null or `none` lifts a limit. */
export const LimitPatchSchema = closed({
  memory: patched('memory'),
  cpu: patched('cpu'),
  file_handles: patched('file_handles'),
  sockets: patched('sockets'),
  runtime: patched('runtime'),
  temp_storage: patched('temp_storage'),
  tasks: patched('tasks'),
});

/** The body of `PATCH /v1/tools/{name}`. */
export const ToolPatchSchema = closed({ limits: LimitPatchSchema });

function limit(resource: Resource) {
  const scalar = amount((raw) => parseLimit(resource, raw), INPUT[resource]);
  const reason = text({ maxLength: 500, description: 'Why the limit is what it is; shown with it.' }).optional();
  const detailed =
    resource === 'temp_storage'
      ? closed({
          limit: scalar,
          inodes: count({ description: 'Files and directories.' }).optional(),
          backing: z.enum(['disk', 'tmpfs']).optional().meta({ description: BACKING }),
          reason,
        })
      : closed({ limit: scalar, reason });
  return z
    .union([scalar, detailed])
    .transform((value): LimitValue => (typeof value === 'object' && value !== null ? value : { limit: value }))
    .optional()
    .meta({ description: `${DESCRIPTIONS[resource]} \`${NONE}\` for no limit.` });
}

function patched(resource: Resource) {
  return amount((raw) => (raw === null ? { ok: true, value: null } : parseLimit(resource, raw)), {
    ...INPUT[resource],
    ...(INPUT[resource]['type'] === 'string' ? { type: ['string', 'null'] } : {}),
    description: DESCRIPTIONS[resource],
  }).optional();
}

function orNonePattern(pattern: string): string {
  return `(${pattern})|(^${NONE}$)`;
}

function countInput(): Readonly<Record<string, unknown>> {
  return {
    oneOf: [
      { type: 'integer', minimum: 1 },
      { type: 'string', pattern: orNonePattern(COUNT_PATTERN) },
    ],
  };
}
