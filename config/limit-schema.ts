/** Limits: `memory: 512MiB`, or `memory: { limit: 512MiB, reason: … }`. */

import { z } from 'zod';
import type { Resource } from '../lib/core/resource.ts';
import { formatDuration } from '../lib/core/format.ts';
import { NONE, amount, closed, count, duration, orNone, text } from './fields.ts';
import type { IssueParams, NotEnforced } from './fields.ts';
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
  /** runtime only. */
  readonly renew?: 'progress' | 'none' | undefined;
  /** runtime only, ms. */
  readonly cap?: number | undefined;
  /** All but runtime. */
  readonly adaptive?: { readonly min: number; readonly max: number } | undefined;
  readonly reason?: string | undefined;
}

/** One limit in the notation of its resource → its unit, or null for `none`. */
export function parseLimit(resource: Resource, raw: unknown): Parsed<number | null> {
  return orNone(LIMIT_PARSERS[resource])(raw);
}

const TEXT = { type: 'string' };
type Input = Readonly<Record<string, unknown>>;

const INPUT: Readonly<Record<Resource, Input>> = {
  memory: { ...TEXT, pattern: orNonePattern(SIZE_PATTERN), examples: ['512MiB', '1.5GiB'] },
  cpu: { ...TEXT, pattern: orNonePattern(PERCENT_PATTERN), examples: ['50%', '200%'] },
  file_handles: countInput(),
  sockets: countInput(),
  runtime: { ...TEXT, pattern: orNonePattern(DURATION_PATTERN), examples: ['5m', '1h30m'] },
  temp_storage: { ...TEXT, pattern: orNonePattern(SIZE_PATTERN), examples: ['1GiB'] },
  tasks: countInput(),
};

const BOUND_COUNT: Input = {
  oneOf: [
    { type: 'integer', minimum: 1 },
    { type: 'string', pattern: COUNT_PATTERN },
  ],
};
/** The same without `none`. */
const BOUND_INPUT: Readonly<Record<Resource, Input>> = {
  memory: { ...TEXT, pattern: SIZE_PATTERN, examples: ['256MiB'] },
  cpu: { ...TEXT, pattern: PERCENT_PATTERN, examples: ['50%'] },
  file_handles: BOUND_COUNT,
  sockets: BOUND_COUNT,
  runtime: { ...TEXT, pattern: DURATION_PATTERN },
  temp_storage: { ...TEXT, pattern: SIZE_PATTERN, examples: ['256MiB'] },
  tasks: BOUND_COUNT,
};

const DESCRIPTIONS: Readonly<Record<Resource, string>> = {
  memory: 'Memory of the whole process tree that cannot be reclaimed, in bytes: 512MiB, 1.5GiB, 500MB.',
  cpu: 'CPU of the whole process tree, in percent of one core: 50%, 200%.',
  file_handles: 'Open file handles of the whole process tree.',
  sockets: 'Open sockets of the whole process tree.',
  runtime:
    'How long a call to a managed tool may take, or a run of any other: 30s, 5m, { limit: 5m, renew: progress, cap: 30m }.',
  temp_storage:
    'Size of the private temporary directory of a run: 1GiB, or { limit: 1GiB, inodes: 10000, backing: tmpfs }.',
  tasks: 'Processes and threads of the whole process tree.',
};

const BACKING =
  'Where the directory lies: disk (default), or tmpfs, in memory and held by the kernel at the emergency stage (needs the right to mount).';

const ADAPTIVE =
  'Follows what the tool uses within these bounds: raised when it needs more, lowered slowly when it needs less, each change on record. Default: it stays.';

const RENEW =
  'progress (default): a call whose server reports progress has its whole time again, up to the cap. none: it has not.';
const CAP =
  'What a call to a managed tool may take in all, with renewals and questions to the client. Default six times the limit, at least 10m.';

/** Where else it might be looked for. */
export const ADAPTIVE_PLACE =
  'it is written with a limit: memory: { limit: 512MiB, adaptive: { min: 256MiB, max: 1GiB } }';

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
  adaptive: ADAPTIVE_PLACE,
}).meta({ description: 'Limits that are this tool’s own; the others come from its class.' });

const ELSEWHERE = 'what a server on another host uses cannot be held here';

/** `limits:` of a server elsewhere: what its clients wait for is known here. */
export const RemoteLimitsSchema = closed(
  { runtime: limit('runtime') },
  {
    memory: ELSEWHERE,
    cpu: ELSEWHERE,
    file_handles: ELSEWHERE,
    sockets: ELSEWHERE,
    temp_storage: ELSEWHERE,
    tasks: ELSEWHERE,
    adaptive: 'limits do not change by themselves',
  },
).meta({ description: 'How long a call may take; nothing else of a server elsewhere can be held here.' });

const SHARED_REFUSED = { runtime: 'runtime is a deadline of each run by itself: there is nothing in it to share' };
const STAYS = { adaptive: 'a limit that runs share stays as it is written' };
const NO_BACKING = { ...STAYS, backing: 'each tool has a directory of its own, with its own backing' };

/** Limits that several runs share: `daemon.budget` and each entry of `contexts`. */
export const SHARED_LIMITS_SHAPE = {
  memory: limit('memory', STAYS),
  cpu: limit('cpu', STAYS),
  file_handles: limit('file_handles', STAYS),
  sockets: limit('sockets', STAYS),
  temp_storage: limit('temp_storage', NO_BACKING),
  tasks: limit('tasks', STAYS),
};

export const SharedLimitsSchema = closed(SHARED_LIMITS_SHAPE, SHARED_REFUSED);

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

function limitAmount(resource: Resource) {
  return amount((raw) => parseLimit(resource, raw), INPUT[resource]);
}

function reasonText() {
  return text({ maxLength: 500, description: 'Why the limit is what it is; shown with it.' }).optional();
}

/** @param refused keys of the detailed form that make no sense here, with the reason */
function limit(resource: Resource, refused: NotEnforced = {}) {
  const scalar = limitAmount(resource);
  return z
    .union([scalar, detailed(resource, scalar, refused)])
    .transform((value): LimitValue => (typeof value === 'object' && value !== null ? value : { limit: value }))
    .optional()
    .meta({ description: `${DESCRIPTIONS[resource]} \`${NONE}\` for no limit.` });
}

function detailed(resource: Resource, scalar: ReturnType<typeof limitAmount>, refused: NotEnforced) {
  const reason = reasonText();
  const inodes = count({ description: 'Files and directories.' }).optional();
  const backing = z.enum(['disk', 'tmpfs']).optional().meta({ description: BACKING });
  switch (resource) {
    case 'temp_storage':
      return Object.hasOwn(refused, 'backing')
        ? closed({ limit: scalar, inodes, reason }, refused)
        : closed({ limit: scalar, inodes, backing, adaptive: adaptiveBounds(resource), reason }, refused).superRefine(
            refuseIdleBounds,
          );
    case 'runtime':
      return closed(
        {
          limit: scalar,
          renew: z.enum(['progress', 'none']).optional().meta({ description: RENEW }),
          cap: duration({ description: CAP }).optional(),
          reason,
        },
        { adaptive: 'a deadline is what somebody is willing to wait for, which usage does not tell' },
      ).superRefine(refuseIdleCap);
    default:
      return Object.hasOwn(refused, 'adaptive')
        ? closed({ limit: scalar, reason }, refused)
        : closed({ limit: scalar, adaptive: adaptiveBounds(resource), reason }, refused).superRefine(refuseIdleBounds);
  }
}

function adaptiveBounds(resource: Resource) {
  const bound = amount(LIMIT_PARSERS[resource], BOUND_INPUT[resource]);
  return closed({ min: bound, max: bound }).optional().meta({ description: ADAPTIVE });
}

/** That cannot be kept, or has nothing to bound. */
function refuseIdleBounds(value: LimitValue, context: z.core.$RefinementCtx): void {
  const { limit, adaptive } = value;
  if (adaptive === undefined) return;
  const refuse = (path: readonly string[], message: string, hint: string): void => {
    const params: IssueParams = { kind: 'value', hint, plain: true };
    context.addIssue({ code: 'custom', message, params, path: ['adaptive', ...path] });
  };
  if (limit === null) refuse([], 'adaptive has no effect without a limit', 'write the limit that it begins at');
  else if (adaptive.min > adaptive.max)
    refuse(['min'], 'adaptive.min is larger than adaptive.max', 'swap them, or write one limit and no adaptive');
  else if (limit < adaptive.min || limit > adaptive.max)
    refuse([], 'adaptive: the limit lies outside of its own bounds', 'write min ≤ limit ≤ max');
}

/** One that would be reached before the limit, or without one. */
function refuseIdleCap(value: LimitValue, context: z.core.$RefinementCtx): void {
  const refuse = (path: string, message: string, hint: string): void => {
    const params: IssueParams = { kind: 'value', hint, plain: true };
    context.addIssue({ code: 'custom', message, params, path: [path] });
  };
  const { limit, renew, cap } = value;
  if (limit === null) {
    for (const [key, given] of Object.entries({ renew, cap }))
      if (given !== undefined) refuse(key, `runtime.${key} has no effect without a limit`, 'take one of them out');
  } else if (cap !== undefined && cap < limit)
    refuse(
      'cap',
      `runtime.cap of ${formatDuration(cap)} is below the limit of ${formatDuration(limit)}`,
      'a cap is what a call may take in all, with its renewals',
    );
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
