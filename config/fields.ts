/**
 * The building blocks of the one schema. Each gives validation, a type and a JSON Schema at once. What a message should
 * say beyond its text travels in the `params` of the issue (`IssueParams`); problems.ts makes sentences of them.
 */

import { z } from 'zod';
import type { Parser } from './units.ts';
import {
  BUDGET_PATTERN,
  COUNT_PATTERN,
  DURATION_PATTERN,
  PERCENT_PATTERN,
  SIZE_PATTERN,
  parseBudget,
  parseCount,
  parseDuration,
  parsePercent,
  parseRatio,
  parseSize,
} from './units.ts';
import type { Range } from './units.ts';

/** Why a key that another version knows is refused by this one: key → what it would be about. */
export type NotEnforced = Readonly<Record<string, string>>;

export type IssueParams =
  | { readonly kind: 'unknown_key'; readonly known: readonly string[]; readonly notEnforced: NotEnforced }
  /** `plain` messages are whole sentences; others continue the name of their key. */
  | { readonly kind: 'value'; readonly hint: string; readonly plain?: boolean };

/** A mapping with these keys and no others. */
export function closed<S extends z.ZodRawShape>(
  shape: S,
  notEnforced: NotEnforced = {},
): z.ZodObject<S, z.core.$strict> {
  const params: IssueParams = { kind: 'unknown_key', known: Object.keys(shape), notEnforced };
  // A catch-all that refuses reports one issue a key, each with its own path; `strictObject` reports one for all of them.
  const refused = z
    .unknown()
    .meta({ not: {} })
    .superRefine((_value, context) => {
      context.addIssue({ code: 'custom', message: 'unknown key', params });
    });
  // The cast takes the index signature of the catch-all out of the type: no such key is ever let through.
  return z.object(shape).catchall(refused) as z.ZodObject<S, z.core.$strict>;
}

interface Meta {
  readonly description?: string;
  readonly examples?: readonly string[];
}

export function size(meta: Meta, range?: Range) {
  return amount((raw) => parseSize(raw, range), {
    type: 'string',
    pattern: SIZE_PATTERN,
    examples: ['512MiB'],
    ...meta,
  });
}

export function duration(meta: Meta, range?: Range) {
  return amount((raw) => parseDuration(raw, range), {
    type: 'string',
    pattern: DURATION_PATTERN,
    examples: ['30s', '5m'],
    ...meta,
  });
}

/** A duration, or the word `none` (gives null). */
export function durationOrNone(meta: Meta, range?: Range) {
  return amount(
    orNone((raw) => parseDuration(raw, range)),
    { type: 'string', pattern: `(${DURATION_PATTERN})|(^${NONE}$)`, examples: ['10m', NONE], ...meta },
  );
}

export function percent(meta: Meta) {
  return amount((raw) => parsePercent(raw), {
    type: 'string',
    pattern: PERCENT_PATTERN,
    examples: ['50%', '200%'],
    ...meta,
  });
}

export function ratio(meta: Meta, range?: Range) {
  return amount((raw) => parseRatio(raw, range), {
    type: 'string',
    pattern: PERCENT_PATTERN,
    examples: ['75%'],
    ...meta,
  });
}

export function count(meta: Meta, range?: Range) {
  const { min, max } = range ?? { min: 1, max: 1e9 };
  const json = {
    oneOf: [
      { type: 'integer', minimum: min, maximum: max },
      { type: 'string', pattern: COUNT_PATTERN },
    ],
  };
  return amount((raw) => parseCount(raw, range), { ...json, ...meta });
}

export function budget(meta: Meta) {
  return amount(parseBudget, { type: 'string', pattern: BUDGET_PATTERN, examples: ['5/10m'], ...meta });
}

/** Gives `null` for the word `none`, and for JSON's null where that is let in. */
export const NONE = 'none';

export function orNone<T>(parse: Parser<T>): Parser<T | null> {
  return (raw) => (raw === NONE ? { ok: true, value: null } : parse(raw));
}

/** Any value that a parser reads; `json` is what an editor is told about its input. */
export function amount<T>(parse: Parser<T>, json: Readonly<Record<string, unknown>>) {
  return z
    .unknown()
    .meta(json)
    .transform((raw, context): T => {
      const parsed = parse(raw);
      if (parsed.ok) return parsed.value;
      const params: IssueParams = { kind: 'value', hint: parsed.error.hint };
      context.addIssue({ code: 'custom', message: parsed.error.message, params });
      return z.NEVER;
    });
}

/** Text of at least one character without NUL, which no path, argument or environment can hold. */
export function text(meta: Meta & { readonly maxLength?: number }) {
  const { maxLength = 131_072, ...rest } = meta;
  return z
    .string()
    .superRefine((value, context) => {
      const wrong = wrongText(value, maxLength);
      if (wrong === null) return;
      const params: IssueParams = { kind: 'value', hint: wrong[1] };
      context.addIssue({ code: 'custom', message: wrong[0], params });
    })
    .meta({ minLength: 1, maxLength, ...rest });
}

/** As `text`, but may be empty (arguments, environment values). */
export function argument(meta: Meta) {
  return z
    .string()
    .superRefine((value, context) => {
      if (!value.includes('\0')) return;
      const params: IssueParams = { kind: 'value', hint: 'the operating system ends text there' };
      context.addIssue({ code: 'custom', message: 'has a NUL character', params });
    })
    .meta({ ...meta });
}

function wrongText(value: string, maxLength: number): readonly [string, string] | null {
  if (value.trim() === '') return ['is empty', 'write a value or leave the key out'];
  if (value.includes('\0')) return ['has a NUL character', 'the operating system ends text there'];
  if (value.length > maxLength) return ['is too long', `at most ${maxLength} characters`];
  return null;
}
