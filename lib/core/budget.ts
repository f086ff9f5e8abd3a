/**
 * Limits that several runs share: of one context, or of all tools together. What they use together, which rule holds for
 * a context, and who goes when it is too much. Pure.
 */

import type { ResolvedLimit, ResolvedLimits, LadderSettings } from './limits.ts';
import { NO_LIMITS } from './limits.ts';
import { RESOURCES } from './resource.ts';
import type { Resource } from './resource.ts';
import { defaultActions } from './response.ts';
import type { StageActions } from './response.ts';
import type { Measured, Quality, Reading } from './usage.ts';
import { unsupported } from './usage.ts';

/** Runtime is each run's own deadline: there is nothing in it to share. */
export type BudgetResource = Exclude<Resource, 'runtime'>;

export const BUDGET_RESOURCES: readonly BudgetResource[] = RESOURCES.filter((resource) => resource !== 'runtime');

/** As for a run whose calls pass Governor; whose stale sockets were to be closed is not known of a group. */
export const BUDGET_ACTIONS: Readonly<Record<BudgetResource, StageActions>> = {
  memory: defaultActions('memory', true),
  cpu: defaultActions('cpu', true),
  file_handles: defaultActions('file_handles', true),
  sockets: { ...defaultActions('sockets', true), cleanup: ['recycle'] },
  temp_storage: defaultActions('temp_storage', true),
  tasks: defaultActions('tasks', true),
};

/** How the budget of all tools is named in records. */
export const HOST_BUDGET = 'host';

/** The entry that holds for every context, below all others. */
export const DEFAULT_CONTEXT = 'default';

export interface ContextRule {
  /** The id of a context, a pattern in which `*` stands for any characters, or `default`. */
  readonly name: string;
  /** null lifts what weaker rules say; what is absent is left to them. */
  readonly limits: Readonly<Partial<Record<BudgetResource, ResolvedLimit | null>>>;
}

export interface BudgetRules {
  /** Of all tools together. */
  readonly host: ResolvedLimits;
  /** In the order of the file. */
  readonly contexts: readonly ContextRule[];
  readonly ladder: LadderSettings;
  /** Decide and record, but do nothing. */
  readonly dryRun: boolean;
}

/** Limit by limit: the rule of exactly this name, then patterns in the order of the file, then `default`. */
export function limitsOfContext(id: string, rules: readonly ContextRule[]): ResolvedLimits {
  if (rules.length === 0) return NO_LIMITS;
  const layers = [
    ...rules.filter(({ name }) => name === id && name !== DEFAULT_CONTEXT),
    ...rules.filter(({ name }) => name !== id && name.includes('*') && matches(name, id)),
    ...rules.filter(({ name }) => name === DEFAULT_CONTEXT),
  ];
  const limits: { -readonly [Key in Resource]: ResolvedLimits[Key] } = { ...NO_LIMITS };
  for (const resource of BUDGET_RESOURCES)
    limits[resource] = layers.find((layer) => layer.limits[resource] !== undefined)?.limits[resource] ?? null;
  return limits;
}

export function hasLimits(limits: ResolvedLimits): boolean {
  return RESOURCES.some((resource) => limits[resource] !== null);
}

/** Linear in both lengths times one another, whatever the pattern: who may name a context must not stop the daemon. */
function matches(pattern: string, text: string): boolean {
  let [at, from, star, retry] = [0, 0, -1, 0];
  while (from < text.length) {
    if (pattern[at] === '*') {
      star = at++;
      retry = from;
    } else if (at < pattern.length && pattern[at] === text[from]) {
      at++;
      from++;
    } else if (star >= 0) {
      at = star + 1;
      from = ++retry;
    } else return false;
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}

const WORST_LAST: readonly Quality[] = ['cgroup', 'exact', 'pss', 'rss-sum', 'estimate'];

/**
 * What runs use together. What cannot be read of one is missing from the sum, which then is a lower bound (`estimate`).
 * Its time is that of the oldest reading that is not stale; without such a one, of the oldest.
 */
export function sumReadings(readings: readonly Reading[], nowMs: number, staleAfterMs: number): Reading {
  let [value, inodes, quality] = [0, 0, 0];
  let [freshMs, oldestMs] = [Infinity, Infinity];
  let hasInodes = false;
  let count = 0;
  for (const reading of readings) {
    // An ended tree uses nothing more.
    if (reading.kind === 'gone') continue;
    if (reading.kind === 'unsupported') {
      quality = WORST_LAST.length - 1;
      continue;
    }
    count++;
    value += reading.value;
    if (reading.inodes !== undefined) {
      inodes += reading.inodes;
      hasInodes = true;
    }
    quality = Math.max(quality, WORST_LAST.indexOf(reading.quality));
    oldestMs = Math.min(oldestMs, reading.atMs);
    if (nowMs - reading.atMs <= staleAfterMs) freshMs = Math.min(freshMs, reading.atMs);
  }
  if (count === 0)
    return readings.find(({ kind }) => kind === 'unsupported') ?? unsupported('no run has been read yet');
  return {
    kind: 'measured',
    value,
    quality: WORST_LAST[quality] ?? 'estimate',
    atMs: freshMs === Infinity ? oldestMs : freshMs,
    ...(hasInodes ? { inodes } : {}),
  } satisfies Measured;
}

export interface Candidate {
  readonly run: string;
  /** Several contexts use it. */
  readonly isShared: boolean;
  /** Of the resource that is short; null where it cannot be read. */
  readonly usage: number | null;
  /** Usage over its own limit; null without one. */
  readonly ratio: number | null;
  /** Monotonic ms. */
  readonly startedMs: number;
}

/**
 * The one that goes. Only a run that holds its even part or more (what all hold, divided by their number) makes a
 * difference; of those the unshared ones go first, then whoever is highest against its own limit (without one: against
 * that of the budget), then the larger, the younger, the one whose id comes first.
 */
export function chooseVictim(candidates: readonly Candidate[], budgetLimit: number): Candidate | null {
  const heavy = candidates.filter((candidate) => isHeavy(candidate, candidates));
  const unshared = heavy.filter(({ isShared }) => !isShared);
  const ratio = ({ usage, ratio: own }: Candidate): number => own ?? (usage ?? 0) / budgetLimit;
  const [first] = (unshared.length > 0 ? unshared : heavy).toSorted(
    (a, b) =>
      ratio(b) - ratio(a) || (b.usage ?? 0) - (a.usage ?? 0) || b.startedMs - a.startedMs || (a.run < b.run ? -1 : 1),
  );
  return first ?? null;
}

/** It holds its even part of what all of these hold, or more. */
export function isHeavy({ usage }: Candidate, all: readonly Candidate[]): boolean {
  if (usage === null || usage <= 0) return false;
  const held = all.reduce((sum, candidate) => sum + (candidate.usage ?? 0), 0);
  return usage >= held / all.length;
}
