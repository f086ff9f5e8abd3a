/**
 * Amounts as they are written in limits.yaml, in REST bodies, on the command line and in the environment. Each parser
 * takes the raw value and answers with a number in base units, or says what is wrong and what would be right. Zero,
 * negative and absurd amounts are refused. Nothing here knows files or positions.
 */

import { err, ok } from '../lib/core/result.ts';
import type { Result } from '../lib/core/result.ts';
import { quote, trim, writeDuration, writeSize } from './notation.ts';

export interface UnitProblem {
  readonly message: string;
  /** What would be right. */
  readonly hint: string;
}

export type Parsed<T> = Result<T, UnitProblem>;
export type Parser<T> = (raw: unknown) => Parsed<T>;

/** Both ends included, in base units. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

const KIB = 1024;
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const TIB = 1024 ** 4;

/** Larger than any host, and exact as a number. */
export const MAX_SIZE_BYTES = 1024 * TIB;

const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KiB: KIB,
  MiB: MIB,
  GiB: GIB,
  TiB: TIB,
  Ki: KIB,
  Mi: MIB,
  Gi: GIB,
  Ti: TIB,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};

/** Longer than any amount that makes sense; keeps every match on hostile text short. */
const LONGEST_AMOUNT = 40;

/** What editors are told: zero is no amount. */
const ABOVE_ZERO = '(?=.*[1-9])';
export const SIZE_PATTERN = `^${ABOVE_ZERO}[0-9]+(\\.[0-9]+)? ?(B|[KMGT]iB?|[kKMGT]B)$`;
export const PERCENT_PATTERN = `^${ABOVE_ZERO}[0-9]+(\\.[0-9]+)? ?%$`;
export const COUNT_PATTERN = `^${ABOVE_ZERO}[0-9]+$`;
const NUMBER = '([0-9]+(?:\\.[0-9]+)?)';
const DURATION = `(?=[0-9])(?:${NUMBER}d)?(?:${NUMBER}h)?(?:${NUMBER}m(?!s))?(?:${NUMBER}s)?(?:${NUMBER}ms)?`;
export const DURATION_PATTERN = `^${ABOVE_ZERO}${DURATION}$`;
export const BUDGET_PATTERN = `^0*[1-9][0-9]*/${ABOVE_ZERO}${DURATION}$`;

/**
 * `512MiB`, `1Gi` (= 1GiB), `1.5 GiB`, `500MB`, `4096B` → bytes.
 * `512M` is refused, because half of the world reads it as 512 MB and the other half as 512 MiB; so is a bare number.
 */
export function parseSize(raw: unknown, range: Range = { min: 1, max: MAX_SIZE_BYTES }): Parsed<number> {
  const example = 'write a size such as 512MiB, 1.5GiB or 500MB';
  const offer: Offer = (...sizes) => offered(sizes, (size) => parseSize(size, range));
  if (typeof raw === 'number') {
    const sizes = (value: number): string => {
      const bytes = writeSize(Math.round(value));
      return parseSize(bytes, range).ok ? `write ${bytes}` : offer(`${value}MiB`);
    };
    return bareNumber(raw, 'size', sizes, example);
  }
  if (typeof raw !== 'string') return wrongKind(raw, 'a size', example);
  const match = amountOf(raw);
  if (match === null) return fail(raw, 'is not a size', signHint(raw) ?? example);
  const [, number, unit] = match;
  const factor = Object.hasOwn(SIZE_UNITS, unit) ? SIZE_UNITS[unit] : undefined;
  if (factor === undefined) return fail(raw, ...explainSizeUnit(number, unit, example, offer));
  return inRange(raw, Math.round(Number(number) * factor), range, writeSize);
}

/** `30s`, `5m`, `1h30m`, `250ms`, `1.5s` → milliseconds, whole. Units d, h, m, s, ms, largest first. */
export function parseDuration(raw: unknown, range: Range = { min: 1, max: 365 * 86_400_000 }): Parsed<number> {
  const example = 'write a duration such as 250ms, 30s, 5m or 1h30m';
  const offer: Offer = (...durations) => offered(durations, (text) => parseDuration(text, range));
  if (typeof raw === 'number') return bareNumber(raw, 'duration', (value) => offer(`${value}s`, `${value}ms`), example);
  if (typeof raw !== 'string') return wrongKind(raw, 'a duration', example);
  const text = raw.trim();
  const match = text.length > LONGEST_AMOUNT ? null : DURATION_EXPRESSION.exec(text);
  if (match === null) return fail(raw, 'is not a duration', signHint(raw) ?? durationHint(text, offer) ?? example);
  const parts = match.slice(1).map((part) => (part === undefined ? 0 : Number(part)));
  const [days = 0, hours = 0, minutes = 0, seconds = 0, ms = 0] = parts;
  return inRange(
    raw,
    Math.round(days * 86_400_000 + hours * 3_600_000 + minutes * 60_000 + seconds * 1000 + ms),
    range,
    writeDuration,
  );
}

/** `50%`, `12.5%`, `150%` → percent of one core (50, 12.5, 150). May exceed 100. */
export function parsePercent(raw: unknown, range: Range = { min: 1, max: 409_600 }): Parsed<number> {
  const example = 'write percent of one core such as 50% or 200%';
  const offer: Offer = (...percents) => offered(percents, (percent) => parsePercent(percent, range));
  const isFraction = (value: number): boolean => value > 0 && value < range.min;
  const ofCores = (value: number): string => `for ${value} cores write ${trim(value * 100)}%`;
  if (typeof raw === 'number') {
    const cores = (value: number): string => (value <= 16 ? ` or, for ${value} cores, ${trim(value * 100)}%` : '');
    const percents = (value: number): string =>
      isFraction(value) ? ofCores(value) : `${offer(`${value}%`)}${cores(value)}`;
    return bareNumber(raw, 'percentage', percents, example);
  }
  if (typeof raw !== 'string') return wrongKind(raw, 'a percentage', example);
  const match = amountOf(raw);
  if (match === null) return fail(raw, 'is not a percentage', signHint(raw) ?? example);
  const [, number, unit] = match;
  if (unit === 'm') return fail(raw, 'is not a percentage', offer(`${Number(number) / 10}%`));
  if (unit === '' && isFraction(Number(number))) return fail(raw, 'is not a percentage', ofCores(Number(number)));
  if (unit !== '%') return fail(raw, 'is not a percentage', unit === '' ? offer(`${number}%`) : example);
  return inRange(raw, Number(number), range, (value) => `${value}%`);
}

/** `70%` → 0.7: a share of a limit. */
export function parseRatio(raw: unknown, range: Range = { min: 0.01, max: 10 }): Parsed<number> {
  const example = 'write a share of the limit such as 70%';
  const offer: Offer = (...shares) => offered(shares, (share) => parseRatio(share, range));
  if (typeof raw === 'number')
    return bareNumber(raw, 'share', (value) => offer(`${value <= 10 ? trim(value * 100) : value}%`), example);
  if (typeof raw !== 'string') return wrongKind(raw, 'a share of the limit', example);
  const match = amountOf(raw);
  if (match === null) return fail(raw, 'is not a share of the limit', signHint(raw) ?? example);
  const [, number, unit] = match;
  if (unit !== '%') {
    const share = Number(number) < 1 ? `${trim(Number(number) * 100)}%` : `${number}%`;
    return fail(raw, 'is not a share of the limit', unit === '' ? offer(share) : example);
  }
  return inRange(raw, Number(number) / 100, range, (value) => `${trim(value * 100)}%`);
}

/** `1024`: a whole number, also as text, because flags and the environment know nothing else. */
export function parseCount(raw: unknown, range: Range = { min: 1, max: 1e9 }): Parsed<number> {
  const example = 'write a whole number such as 1024';
  if (typeof raw !== 'number' && typeof raw !== 'string') return wrongKind(raw, 'a count', example);
  const text = typeof raw === 'string' ? raw.trim() : raw;
  const value =
    typeof text === 'number' ? text : text.length <= LONGEST_AMOUNT && /^[0-9]+$/.test(text) ? Number(text) : NaN;
  if (Number.isInteger(value)) return inRange(raw, value, range, String);
  return fail(raw, 'is not a whole number', signHint(String(raw)) ?? example);
}

export interface Budget {
  readonly budget: number;
  readonly windowMs: number;
}

/** `5/10m`: five times in ten minutes. */
export function parseBudget(raw: unknown): Parsed<Budget> {
  const example = 'write how often in what time, such as 5/10m';
  if (typeof raw !== 'string') return wrongKind(raw, 'a budget', example);
  const [times, window, ...more] = raw.split('/').map((part) => part.trim());
  if (times === undefined || window === undefined || more.length > 0) return fail(raw, 'is not a budget', example);
  if (/^0+$/.test(times)) return fail(raw, 'allows nothing', 'to never restart write strategy: stop');
  const budget = parseCount(times, { min: 1, max: 1000 });
  if (!budget.ok) return fail(raw, 'is not a budget', budget.error.hint);
  const windowMs = parseDuration(window, { min: 1000, max: 30 * 86_400_000 });
  if (!windowMs.ok) return fail(raw, 'is not a budget', windowMs.error.hint);
  return ok({ budget: budget.value, windowMs: windowMs.value });
}

const DURATION_EXPRESSION = new RegExp(`^${DURATION}$`);

function amountOf(raw: string): readonly [string, string, string] | null {
  const text = raw.trim();
  const match = text.length > LONGEST_AMOUNT ? null : /^([0-9]+(?:\.[0-9]+)?) ?([A-Za-z%]*)$/.exec(text);
  return match === null ? null : [text, match[1] ?? '', match[2] ?? ''];
}

function inRange(raw: unknown, value: number, range: Range, write: (value: number) => string): Parsed<number> {
  if (!Number.isFinite(value) || value > range.max) return fail(raw, 'is too large', `at most ${write(range.max)}`);
  if (value <= 0) return fail(raw, 'is not above zero', `write at least ${write(range.min)}`);
  if (value < range.min) return fail(raw, 'is too small', `write at least ${write(range.min)}`);
  return ok(value);
}

/** The hint for what was probably meant. */
type Offer = (...amounts: readonly string[]) => string;

/** Only amounts that are accepted; where none is, what is said of the last one. */
function offered(amounts: readonly string[], parse: (amount: string) => Parsed<number>): string {
  const refused: string[] = [];
  const accepted = amounts.filter((amount) => {
    const parsed = parse(amount);
    if (!parsed.ok) refused.push(parsed.error.hint);
    return parsed.ok;
  });
  return accepted.length > 0 ? `write ${accepted.join(' or ')}` : (refused.at(-1) ?? '');
}

function explainSizeUnit(number: string, unit: string, example: string, offer: Offer): [string, string] {
  if (unit === '') return ['has no unit', offer(`${number}MiB`, `${number}B`)];
  const letter = unit.charAt(0).toUpperCase();
  if (/^[kmgt]$/i.test(unit)) {
    return ['could mean two sizes', offer(`${number}${letter}iB`, `${number}${letter}B`)];
  }
  if (/^[kmgt]i?b?$/i.test(unit)) {
    return ['is not a size', offer(`${number}${letter}${/i/i.test(unit) ? 'iB' : 'B'}`)];
  }
  return ['is not a size', example];
}

function durationHint(text: string, offer: Offer): string | null {
  const words = /^([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)$/.exec(text.slice(0, LONGEST_AMOUNT));
  if (words === null) return null;
  const [, number, unit = ''] = words;
  if (unit === '') return offer(`${number}s`, `${number}ms`);
  const short = ['ms', 's', 'm', 'h', 'd'].find((name) => LONG_DURATION_NAMES[name]?.test(unit));
  return short === undefined ? null : offer(`${number}${short}`);
}

const LONG_DURATION_NAMES: Readonly<Record<string, RegExp>> = {
  ms: /^(ms|msecs?|millis|milliseconds?)$/i,
  s: /^(s|secs?|seconds?)$/i,
  m: /^(m|mins?|minutes?)$/i,
  h: /^(h|hrs?|hours?)$/i,
  d: /^(d|days?)$/i,
};

function signHint(raw: string): string | null {
  const text = raw.trim();
  if (text.startsWith('-') && /^-[0-9]/.test(text)) return 'it must be above zero';
  if (/^[0-9]+,[0-9]+/.test(text)) return 'use a point for decimals and nothing between thousands';
  return null;
}

function bareNumber(raw: number, what: string, suggest: (value: number) => string, example: string): Parsed<number> {
  if (raw === 0) return err({ message: '0 is not above zero', hint: example });
  if (!Number.isFinite(raw) || raw < 0) return err({ message: `${raw} is not a ${what}`, hint: example });
  return err({ message: `${raw} has no unit`, hint: suggest(raw) });
}

function wrongKind(raw: unknown, wanted: string, hint: string): Parsed<never> {
  return err({ message: raw === null || raw === undefined ? 'has no value' : `must be ${wanted}`, hint });
}

function fail(raw: unknown, what: string, hint: string): Parsed<never> {
  return err({ message: `${quote(raw)} ${what}`, hint });
}
