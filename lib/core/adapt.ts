/**
 * Whether an adaptive limit changes now, and to what. Pure: (what is known, now) → change or why not. Raised to what is
 * proposed as soon as that is clearly more; lowered late, little by little, and never near what is in use.
 */

import { formatAmount, formatDuration, formatPercent } from './format.ts';
import { caution } from './recommend.ts';
import type { Proposal } from './recommend.ts';
import type { Thresholds } from './limits.ts';

/** A change is at least this share of the limit. */
export const CHANGE_LEAST = 0.1;
/** Between two raises; a run that was ended for lack of it is raised for at once. */
export const RAISE_PACE_MS = 600_000;
/** After any change, before it is lowered. */
export const LOWER_PACE_MS = 3_600_000;
/** A step down is at most this share of the limit. */
export const LOWER_MOST = 0.25;
/** Observed, before anything is lowered. */
export const LOWER_OBSERVED_MS = 3_600_000;

/** Of a limit that follows usage, while a leak is suspected. */
export const NOT_RAISED = 'a leak of it is suspected: not raised until that is over';

/** What floating point adds. */
const TINY = 1e-9;

/** In the unit of the resource, both ends included. */
export interface Bounds {
  readonly min: number;
  readonly max: number;
}

export interface AdaptState {
  /** That holds. */
  readonly limit: number;
  readonly bounds: Bounds;
  readonly thresholds: Thresholds;
  /** Points, as ratio, that a stage is left below its entry. */
  readonly exitMargin: number;
  readonly proposal: Proposal;
  /** The most that a live run uses now, or used in the window that is open; 0: nothing runs. In the unit of the limit. */
  readonly inUse: number;
  /** A live run is at a stage of this resource. */
  readonly isStaged: boolean;
  /** Of the last change, ms ago; Infinity: there was none. */
  readonly sinceChangeMs: number;
  /** A run was ended for lack of it since then. */
  readonly isBumped: boolean;
  /** A run is suspected of leaking it: more would only be leaked as well. */
  readonly isLeaking: boolean;
}

export type Adaption =
  | { readonly kind: 'change'; readonly to: number; readonly reason: string }
  | { readonly kind: 'keep'; readonly why: string };

export function adapt(state: AdaptState): Adaption {
  const { limit, bounds, proposal } = state;
  const floor = safeFloor(state);
  // A reload has moved the bounds.
  if (limit < bounds.min) return change(state, bounds.min, `below its least of ${text(state, bounds.min)}`);
  // Whatever is in use: the ladder answers that, and the kernel's cap follows it.
  if (limit > bounds.max) return change(state, bounds.max, `above its most of ${text(state, bounds.max)}`);
  if (proposal.proposed === null) return keep(proposal.reason);
  // A rate is full in many a moment: of that only the percentile says that more is needed.
  const needed = proposal.resource === 'cpu' ? 0 : roundedUp(floor, limit);
  const wanted = clamp(Math.max(proposal.proposed, needed), bounds);
  if ((wanted - limit) / limit >= CHANGE_LEAST - TINY || (wanted > limit && state.isBumped))
    return raise(state, wanted);
  return lower(state, proposal.proposed, floor);
}

function raise(state: AdaptState, to: number): Adaption {
  if (state.isLeaking) return keep(NOT_RAISED);
  if (!state.isBumped && state.sinceChangeMs < RAISE_PACE_MS)
    return keep(`raised at most every ${formatDuration(RAISE_PACE_MS)}`);
  const { proposal, bounds } = state;
  const most = proposal.proposed !== null && proposal.proposed > bounds.max ? ', held at its most' : '';
  return change(state, to, `${proposal.reason}${most}`);
}

function lower(state: AdaptState, proposed: number, floor: number): Adaption {
  const { limit, bounds, proposal } = state;
  if (proposal.observedMs < LOWER_OBSERVED_MS)
    return keep(`lowered once it was observed for ${formatDuration(LOWER_OBSERVED_MS)}`);
  const safe = Math.max(proposed * caution(proposal.observedMs), floor, limit * (1 - LOWER_MOST));
  const to = Math.min(limit, clamp(roundedUp(safe, limit), bounds));
  if ((limit - to) / limit < CHANGE_LEAST - TINY) return keep('fits');
  if (state.isStaged) return keep('not lowered while a run is at a stage of it');
  if (state.sinceChangeMs < LOWER_PACE_MS) return keep(`lowered at most every ${formatDuration(LOWER_PACE_MS)}`);
  return change(state, to, `${proposal.reason}; lowered by ${formatPercent(LOWER_MOST * 100)} at most at a time`);
}

/** What is in use has to stay below the warning, by as much as it takes to leave that. */
function safeFloor({ inUse, thresholds, exitMargin }: AdaptState): number {
  return inUse / Math.max(0.05, Math.min(1, thresholds.warning) - exitMargin);
}

function change({ limit, bounds }: AdaptState, to: number, reason: string): Adaption {
  const rounded = Math.min(bounds.max, Math.ceil(to));
  if (rounded === limit) return keep('fits');
  return { kind: 'change', to: rounded, reason };
}

function keep(why: string): Adaption {
  return { kind: 'keep', why };
}

function clamp(value: number, { min, max }: Bounds): number {
  return Math.min(max, Math.max(min, value));
}

/** To whole MiB where it is bytes: nobody reads 412316860 as a limit. */
function roundedUp(value: number, like: number): number {
  const step = like >= 1024 ** 2 * 4 ? 1024 ** 2 : 1;
  return Math.ceil(value / step - TINY) * step;
}

function text({ proposal }: AdaptState, value: number): string {
  return formatAmount(proposal.resource, value);
}
