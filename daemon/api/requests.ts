/** What the API takes: parameters, queries and bodies, and how a mistake in them is told. */

import { z } from 'zod';
import { pointerOf } from '../../config/problems.ts';
import { suggestion } from '../../config/suggest.ts';
import { GovernorError } from '../../lib/core/errors.ts';
import type { Problem } from '../../lib/core/errors.ts';
import type { AuditQuery } from './dependencies.ts';

export const noQuery = z.strictObject({});
export const nameParams = z.object({ name: z.string().describe('Name of a tool, percent-encoded') });
export const idParams = z.object({ id: z.string() });
export const fileParams = z.object({ file: z.string() });

export const logsQuery = z.strictObject({ lines: whole(1, 10_000, 'Newest lines to show; default 100').default(100) });

export const postMortemParams = z.object({
  name: z.string().describe('Name of a tool, percent-encoded'),
  id: z.string().describe('That of the run'),
});
export const postMortemsQuery = z.strictObject({
  limit: whole(1, 1000, 'At most this many, the newest; default 100').default(100),
});

export const runsQuery = z.strictObject({
  state: z.enum(['live', 'ended']).describe('Only these; an unproven run counts as live').optional(),
  limit: whole(1, 1000, 'At most this many runs; default 100').default(100),
});

/** `17`, or `daemon.17` as the stream writes it. */
export const EVENT_ID = /^(?:[A-Za-z0-9_-]{1,64}\.)?[0-9]{1,15}$/;

export const eventsQuery = z.strictObject({
  last_event_id: z
    .string()
    .regex(EVENT_ID, 'an id of this stream, such as 17 or d3k9x.17')
    .describe('Events after this one that are still kept come first; the header Last-Event-ID does the same and wins')
    .optional(),
});

export const AUDIT_KINDS = [
  'daemon',
  'lifecycle',
  'stage',
  'action',
  'intent',
  'outcome',
  'cleanup',
  'limits',
  'anomaly',
  'budget',
  'recovery',
  'sign_in',
  'leak',
  'retention',
  'lost',
] as const satisfies readonly NonNullable<AuditQuery['kind']>[];

const instant = z.iso
  .datetime({ offset: true, error: 'expected a time such as 2026-01-31T12:00:00Z' })
  .meta({ pattern: undefined });

export const auditQuery = z.strictObject({
  tool: z.string().exactOptional(),
  run: z.string().exactOptional(),
  kind: z.enum(AUDIT_KINDS).exactOptional(),
  since: instant.describe('From this time on').exactOptional(),
  until: instant.describe('Before this time').exactOptional(),
  limit: whole(1, 1000, 'At most this many entries; default 100').default(100),
  after: whole(0, Number.MAX_SAFE_INTEGER, 'Only entries with a higher sequence number').exactOptional(),
});

export const cacheQuery = z.strictObject({
  tool: z.string().min(1).describe('Only of this tool').exactOptional(),
  uri: z.string().min(1).describe('Only of this resource').exactOptional(),
  pattern: z.string().min(1).describe('Only of resources whose URI matches this template (RFC 6570)').exactOptional(),
});

export const runBody = z.strictObject({ run: z.string().min(1).describe('Only this run; default: all').optional() });
const CONTEXT = z
  .string()
  .min(1, { error: 'is empty: 1 to 256 characters, or null' })
  .max(256, { error: 'is too long: 1 to 256 characters' })
  .nullable();
export const activateBody = z.strictObject({ context: CONTEXT.describe('Who it is in use for').default(null) });
export const contextBody = z.strictObject({
  context: CONTEXT.describe('Who it is in use for from now on; null: nobody'),
});
export const loginBody = z.strictObject({
  redirectUri: z
    .string()
    .max(256)
    .describe('Where the browser is sent back to: http, on a loopback address of whoever asks, with its port'),
});
export const loginAnswerBody = z.strictObject({
  answer: z.string().max(16_384).describe('The query that the browser was sent back with: `code=…&state=…`'),
});
export const stopBody = z.strictObject({ stopTools: z.boolean().describe('Also stop direct runs').default(false) });

function whole(min: number, max: number, description: string) {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  const error = `expected a whole number ${range}`;
  return z.coerce
    .number({ error })
    .refine((value) => Number.isSafeInteger(value) && value >= min && value <= max, { error })
    .meta({ description, type: 'integer', minimum: min, maximum: max });
}

/**
 * @param part what the schema describes
 * @throws GovernorError `invalid_request` with one problem for each mistake
 */
export function validate(schema: z.ZodType, data: unknown, part: 'body' | 'query' | 'path'): unknown {
  const result = schema.safeParse(data);
  if (result.success) return result.data;
  const problems = result.error.issues.flatMap((issue) => problemsOf(issue, schema, part));
  const first = problems[0]?.message ?? 'not valid';
  const place = problems[0]?.where?.pointer;
  throw new GovernorError('invalid_request', place === undefined || place === '' ? first : `${place}: ${first}`, {
    problems,
  });
}

function problemsOf(issue: z.core.$ZodIssue, schema: z.ZodType, part: 'body' | 'query' | 'path'): readonly Problem[] {
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(schema, issue.path);
    return issue.keys.map((key) => ({
      ...where(part, [...issue.path, key]),
      message:
        part === 'query' ? `unknown query parameter ${JSON.stringify(key)}` : `unknown key ${JSON.stringify(key)}`,
      hint: suggestion(key, known, part === 'query' ? 'parameters' : 'keys'),
    }));
  }
  const message =
    issue.code === 'invalid_value'
      ? `expected one of: ${issue.values.join(', ')}`
      : issue.message.replace(/^Invalid input: /, '');
  return [
    {
      ...where(part, issue.path),
      message: part === 'body' ? message : `${part} parameter "${issue.path.join('.')}": ${message}`,
    },
  ];
}

function where(part: string, path: readonly PropertyKey[]): { readonly where?: { readonly pointer: string } } {
  return part === 'body' ? { where: { pointer: pointerOf(path) } } : {};
}

function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] {
  let current: unknown = schema;
  for (const key of path) current = current instanceof z.ZodObject ? current.shape[String(key)] : undefined;
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}
