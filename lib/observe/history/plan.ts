/** Which tiers answer a question, and what of a question is refused. Pure. */

import { formatDuration } from '../../core/format.ts';
import { err, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';
import { TIERS } from './tiers.ts';
import type { HistorySettings, Tier } from './tiers.ts';

/** Steps of one answer, at most. */
export const POINTS_MAX = 10_000;
/** Without a step, one is chosen so that there are no more than these. */
const POINTS_USUAL = 300;
/** Who asks for all that is kept of a tier asks a moment later. */
const LATE_S = 5;
/** No tier is asked to reach back further than this. */
const RANGE_MAX_S = 10 * 366 * 86_400;
const LONGEST = formatDuration(RANGE_MAX_S * 1000);
const ROUND_S = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400];
const USUAL_RANGE_S = 600;

/** As asked, wall time in seconds since the Unix epoch; null: not said. */
export interface AskedRange {
  readonly fromS: number | null;
  readonly toS: number | null;
  readonly stepS: number | null;
}

/** Wall time; `toS` excluded. Steps begin at whole multiples of the step. */
export interface Range {
  readonly fromS: number;
  readonly toS: number;
  readonly stepS: number;
  /** The tier that the step asks for; what is too new to be in it comes from finer ones. */
  readonly tier: Tier;
}

/** @returns what to read, or why not, for people */
export function planRange(asked: AskedRange, settings: HistorySettings, nowS: number): Result<Range, string> {
  const toS = Math.min(asked.toS ?? nowS, nowS);
  const fromS = asked.fromS ?? toS - USUAL_RANGE_S;
  if (fromS >= nowS) return err('from lies in the future');
  if (fromS >= toS) return err('from is not before to');
  if (asked.stepS !== null && (!Number.isInteger(asked.stepS) || asked.stepS < 1))
    return err('step is not a whole number of seconds');
  const lengthS = toS - fromS;
  if (lengthS > RANGE_MAX_S)
    return err(`from ${formatDuration(lengthS * 1000)} back: nothing is kept for so long; at most ${LONGEST}`);
  if (asked.stepS !== null && asked.stepS > RANGE_MAX_S)
    return err(`step is longer than anything that is kept: at most ${LONGEST}`);
  const tier = tierFor(asked.stepS ?? usualStep(lengthS), nowS - fromS, settings);
  const stepS = Math.max(asked.stepS ?? usualStep(lengthS), tier.stepS);
  const range = { fromS: Math.floor(fromS / stepS) * stepS, toS: Math.ceil(toS / stepS) * stepS, stepS, tier };
  const points = (range.toS - range.fromS) / stepS;
  if (points > POINTS_MAX) {
    const least = formatDuration(Math.ceil(lengthS / (POINTS_MAX - 1)) * 1000);
    return err(
      `${points} steps are too many: at most ${POINTS_MAX}; ask for a shorter range, or a step of ${least} or more`,
    );
  }
  return ok(range);
}

/** The coarsest that is no coarser than the step, unless only a coarser one reaches back so far. */
function tierFor(stepS: number, backS: number, { keepS }: HistorySettings): Tier {
  const fine = TIERS.findLastIndex((tier) => tier.stepS <= stepS);
  return TIERS.slice(fine).find(({ name }) => keepS[name] + LATE_S >= backS) ?? TIERS[TIERS.length - 1] ?? TIERS[0];
}

function usualStep(lengthS: number): number {
  const least = lengthS / POINTS_USUAL;
  return ROUND_S.find((step) => step >= least) ?? Math.ceil(least / 86_400) * 86_400;
}

/** A part of the series, whole buckets of a tier; `to` excluded. */
export interface Piece {
  readonly tier: Tier;
  readonly fromBucket: number;
  readonly toBucket: number;
}

/**
 * The series from `fromS` to `toS`: the chosen tier as far as it is made, the finer ones for what came after.
 * @param madeS up to which second each tier is made, by its name
 */
export function pieces(tier: Tier, fromS: number, toS: number, madeS: (tier: Tier) => number): readonly Piece[] {
  const found: Piece[] = [];
  let startS = Math.floor(fromS / tier.stepS) * tier.stepS;
  for (let index = TIERS.indexOf(tier); index >= 0 && startS < toS; index--) {
    const each = TIERS[index] ?? TIERS[0];
    const endS = index === 0 ? toS : Math.min(madeS(each), Math.ceil(toS / each.stepS) * each.stepS);
    if (endS <= startS) continue;
    found.push({ tier: each, fromBucket: Math.floor(startS / each.stepS), toBucket: Math.ceil(endS / each.stepS) });
    startS = endS;
  }
  return found;
}
