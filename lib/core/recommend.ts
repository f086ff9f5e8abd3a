/**
 * Limits that fit what a tool has used, each with its reasoning. Pure. Percentile and margin as Kubernetes' vertical pod
 * autoscaler has them (logic/recommender.go: a percentile of a decaying histogram, a safety margin of 15 %, bounds that
 * widen while the history is short); the margin is larger here where usage would else lie in the warning stage.
 */

import { formatAmount, formatDuration, formatPercent } from './format.ts';
import type { ResolvedLimit, ResolvedLimits } from './limits.ts';
import { DEFAULT_THRESHOLDS } from './ladder.ts';
import { RESOURCES, UNIT } from './resource.ts';
import type { Resource, Unit } from './resource.ts';
import type { UsageProfile } from './usage-profile.ts';

/** Below this nothing is proposed, unless a run was ended for lack of the resource. */
export const OBSERVED_LEAST_MS = 600_000;
/** Whole runs that ended by themselves, before their runtime says anything. */
export const RUNS_LEAST = 5;
/** What is added at least, as a share: VPA's `recommendation-margin-fraction`. */
export const MARGIN_LEAST = 0.15;
/** Of observed time; VPA's unit of confidence is a day, too. */
const DAY_MS = 86_400_000;
const MEDIUM_MS = 2 * 3_600_000;
/** Readings, or whole runs: a day in which it was seen once says little. */
const HIGH_SAMPLES = 30;
const MEDIUM_SAMPLES = 10;

/** `none`: nothing is proposed. */
export type Confidence = 'none' | 'low' | 'medium' | 'high';

/** Of a rate the 95th percentile over time; of what ends a tool the 99th over the peaks of its windows. */
export const PERCENTILE: Readonly<Record<Resource, number>> = {
  memory: 0.99,
  cpu: 0.95,
  file_handles: 0.99,
  sockets: 0.99,
  runtime: 0.99,
  temp_storage: 0.99,
  tasks: 0.99,
};

const MIB = 1024 ** 2;
/** Proposals are whole steps, and at least this: a limit below it would hold up the start of a tool. */
const STEP: Readonly<Record<Resource, number>> = {
  memory: MIB,
  cpu: 5,
  file_handles: 1,
  sockets: 1,
  runtime: 1000,
  temp_storage: MIB,
  tasks: 1,
};
const LEAST: Readonly<Record<Resource, number>> = {
  memory: 16 * MIB,
  cpu: 10,
  file_handles: 32,
  sockets: 16,
  runtime: 5000,
  temp_storage: 16 * MIB,
  tasks: 16,
};
const LEAST_INODES = 128;

export interface Proposal {
  readonly resource: Resource;
  readonly unit: Unit;
  /** That holds now; null: none. */
  readonly limit: number | null;
  /** Null: there is too little to go by; `reason` says what. */
  readonly proposed: number | null;
  /** temp_storage only, where its inodes are known. */
  readonly inodes?: number;
  /** 0.99: of what `usage` is the percentile. */
  readonly percentile: number;
  /** At this percentile; null: nothing was measured. */
  readonly usage: number | null;
  /** The highest that is remembered. */
  readonly highest: number | null;
  /** Added to `usage`, as a share of it. */
  readonly margin: number;
  /** Readings; of the runtime of whole runs, runs. */
  readonly samples: number;
  /** Runs that were ended for lack of it. */
  readonly ended: number;
  /** Of the tool, ms. */
  readonly observedMs: number;
  readonly confidence: Confidence;
  readonly reason: string;
}

/** @param ofCalls the runtime is that of calls, not of whole runs */
export function recommend(profile: UsageProfile, limits: ResolvedLimits, ofCalls: boolean): readonly Proposal[] {
  return RESOURCES.map((resource) => propose(resource, profile, limits[resource], ofCalls));
}

export function propose(
  resource: Resource,
  profile: UsageProfile,
  limit: ResolvedLimit | null,
  ofCalls: boolean,
): Proposal {
  const { samples, bumps, unsupported, ceiling } = profile.series[resource];
  const { observedMs } = profile;
  const percentile = PERCENTILE[resource];
  const margin = marginOf(limit);
  const usage = whole(resource, profile.percentile(resource, percentile));
  const highest = resource === 'cpu' || resource === 'runtime' ? profile.percentile(resource, 1) : ceiling;
  const known = {
    resource,
    unit: UNIT[resource],
    limit: limit?.limit ?? null,
    percentile,
    usage,
    highest: highest === null || highest < 0 ? null : whole(resource, highest),
    margin,
    samples,
    ended: bumps,
    observedMs,
  };
  const why = tooLittle(resource, profile, usage, ofCalls);
  if (usage === null || why !== null) {
    const reason = why ?? (unsupported === null ? 'never measured' : `not measured here: ${unsupported}`);
    return { ...known, proposed: null, confidence: 'none', reason };
  }
  const proposed = proposedFor(resource, usage, margin);
  const inodes = resource === 'temp_storage' ? inodesFor(profile, margin) : null;
  const confidence = confidenceOf(observedMs, samples);
  return {
    ...known,
    proposed,
    ...(inodes === null ? {} : { inodes }),
    confidence,
    reason: reasonFor(known, usage, proposed, limit, ofCalls),
  };
}

/** Within a bucket the histogram yields fractions, and nobody uses a fraction of a byte or of a file. */
function whole(resource: Resource, value: number | null): number | null {
  return value === null || resource === 'cpu' ? value : Math.ceil(value);
}

/** What keeps usage at the percentile below the warning stage; at least 15 %. */
function marginOf(limit: ResolvedLimit | null): number {
  const { warning } = limit?.thresholds ?? DEFAULT_THRESHOLDS;
  return Math.max(MARGIN_LEAST, 1 / Math.min(1, warning) - 1);
}

function proposedFor(resource: Resource, usage: number, margin: number): number {
  const step = STEP[resource];
  return Math.max(LEAST[resource], Math.ceil((usage * (1 + margin)) / step) * step);
}

function inodesFor(profile: UsageProfile, margin: number): number | null {
  const usage = profile.percentile('inodes', PERCENTILE.temp_storage);
  return usage === null ? null : Math.max(LEAST_INODES, Math.ceil(usage * (1 + margin)));
}

function confidenceOf(observedMs: number, samples: number): Confidence {
  if (observedMs >= DAY_MS && samples >= HIGH_SAMPLES) return 'high';
  return observedMs >= MEDIUM_MS && samples >= MEDIUM_SAMPLES ? 'medium' : 'low';
}

function tooLittle(resource: Resource, profile: UsageProfile, usage: number | null, ofCalls: boolean): string | null {
  const { samples, bumps } = profile.series[resource];
  if (resource === 'runtime' && !ofCalls && samples < RUNS_LEAST)
    return `${samples} whole runs ended by themselves; ${RUNS_LEAST} are needed`;
  if (usage === null) return resource === 'runtime' ? 'no call was open when it was looked at' : null;
  if (profile.observedMs >= OBSERVED_LEAST_MS || bumps > 0) return null;
  return `observed for ${formatDuration(profile.observedMs)}; ${formatDuration(OBSERVED_LEAST_MS)} are needed`;
}

function reasonFor(
  {
    resource,
    percentile,
    margin,
    observedMs,
    ended,
  }: Pick<Proposal, 'resource' | 'percentile' | 'margin' | 'observedMs' | 'ended'>,
  usage: number,
  proposed: number,
  limit: ResolvedLimit | null,
  ofCalls: boolean,
): string {
  const what = resource === 'cpu' ? 'the time' : resource !== 'runtime' || ofCalls ? 'hourly peaks' : 'whole runs';
  const parts = [
    `p${Math.round(percentile * 100)} of ${what} in ${formatDuration(observedMs)} is ${formatAmount(resource, usage)}, + ${formatPercent(margin * 100)}`,
  ];
  if (proposed === LEAST[resource]) parts.push('as little as is sensible');
  if (ended > 0) parts.push(`${ended === 1 ? 'one run was' : `${ended} runs were`} ended for lack of it`);
  if (resource === 'cpu' && limit !== null && usage >= limit.limit * 0.9)
    parts.push('it was held back at its limit, and may want more');
  return parts.join('; ');
}

/** So much larger is the limit that is thought safe to come down to: twice after a day, 1.14 times after a week. */
export function caution(observedMs: number): number {
  return observedMs <= 0 ? Infinity : 1 + DAY_MS / observedMs;
}

/** An amount exactly, as limits.yaml takes it: `384MiB`, `150%`, `64`, `90s`. */
export function writeAmount(resource: Resource, value: number): string {
  switch (UNIT[resource]) {
    case 'bytes':
      if (value % (MIB * 1024) === 0) return `${value / MIB / 1024}GiB`;
      return value % MIB === 0 ? `${value / MIB}MiB` : `${value}B`;
    case 'percent':
      return `${value}%`;
    case 'count':
      return String(value);
    case 'ms':
      return value % 1000 === 0 ? `${value / 1000}s` : `${value}ms`;
  }
}

/**
 * What to paste into limits.yaml; everything else that is written for these limits is kept.
 * @param command words of a tool that the file has no entry of yet: without one that could not be pasted
 * @returns null when nothing is proposed
 */
export function toYaml(
  tool: string,
  proposals: readonly Proposal[],
  limits: ResolvedLimits,
  command?: readonly string[],
): string | null {
  const lines = proposals.map((proposal) => {
    const { resource, reason } = proposal;
    if (proposal.proposed === null) return `      # ${resource}: ${reason}`;
    const limit = limits[resource];
    // More than somebody has allowed it is for that person to write.
    const most = limit?.adaptive?.max ?? Infinity;
    const proposed = Math.min(proposal.proposed, most);
    const inodes = proposal.inodes ?? scaledInodes(limit, proposed);
    const why = proposed < proposal.proposed ? `${reason}; held at its most` : reason;
    const keys = [
      `limit: ${writeAmount(resource, proposed)}`,
      ...(inodes === undefined ? [] : [`inodes: ${inodes}`]),
      ...(limit?.backing === undefined ? [] : [`backing: ${limit.backing}`]),
      ...(limit?.renew === undefined ? [] : [`renew: ${limit.renew}`]),
      ...(limit?.capMs === undefined ? [] : [`cap: ${writeAmount('runtime', Math.max(limit.capMs, proposed))}`]),
      ...(limit?.adaptive === undefined ? [] : [adaptiveText(resource, limit.adaptive, proposed)]),
      `reason: ${JSON.stringify(why)}`,
    ];
    return `      ${resource}: { ${keys.join(', ')} }`;
  });
  if (proposals.every(({ proposed }) => proposed === null)) return null;
  const [name, ...args] = command ?? [];
  const entry = name === undefined ? [] : [`    command: ${JSON.stringify(name)}`, `    args: ${JSON.stringify(args)}`];
  return ['tools:', `  ${keyText(tool)}:`, ...entry, '    limits:', ...lines, ''].join('\n');
}

/** Not measured: in the proportion that they have to the bytes. */
function scaledInodes(limit: ResolvedLimit | null, proposed: number): number | undefined {
  if (limit?.inodes === undefined) return undefined;
  return Math.max(LEAST_INODES, Math.ceil((limit.inodes * proposed) / limit.limit));
}

function adaptiveText(resource: Resource, { min, max }: { min: number; max: number }, limit: number): string {
  // A limit lies within its bounds, or is refused.
  const least = Math.min(min, limit);
  return `adaptive: { min: ${writeAmount(resource, least)}, max: ${writeAmount(resource, max)} }`;
}

/** As it stands where YAML takes it so, in quotes otherwise. */
function keyText(name: string): string {
  return /^[A-Za-z][A-Za-z0-9_-]*$/.test(name) && !/^(y|n|yes|no|on|off|true|false|null)$/i.test(name)
    ? name
    : JSON.stringify(name);
}
