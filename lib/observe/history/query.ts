/** Reads a series back. */

import { RESOURCES, UNIT } from '../../core/resource.ts';
import type { Resource, Unit } from '../../core/resource.ts';
import { err, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';
import { fold } from './fold.ts';
import type { Stint } from './fold.ts';
import { pieces, planRange } from './plan.ts';
import type { AskedRange, Piece, Range } from './plan.ts';
import { rowsOf as sqlOfRows } from './sql.ts';
import type { Store } from './store.ts';
import type { HistorySettings } from './tiers.ts';
import type { Stretch, Timeline } from './timeline.ts';
import { readTotals } from './totals.ts';
import type { CallSums } from './totals.ts';

export interface HistoryQuestion extends AskedRange {
  readonly tool: string;
  /** Null: of all its runs together. */
  readonly run: string | null;
  readonly resources: readonly Resource[];
}

/** Times are ISO 8601. */
export interface HistoryDocument {
  readonly tool: string;
  readonly run: string | null;
  readonly from: string;
  /** Excluded. */
  readonly to: string;
  readonly stepMs: number;
  /** When each step begins; the columns below have a value for each. */
  readonly at: readonly string[];
  /** Runs that were watched within the step; 0: a gap, there was nothing to measure, or nobody to measure it. */
  readonly runs: readonly number[];
  readonly resources: readonly {
    readonly resource: Resource;
    readonly unit: Unit;
    /** Null: a gap, or the reading could not be taken. */
    readonly mean: readonly (number | null)[];
    readonly min: readonly (number | null)[];
    readonly max: readonly (number | null)[];
  }[];
  /** Since they are kept, whatever the range; those with the most calls first. */
  readonly totals: {
    /** `method` empty: all that are not told apart any more. */
    readonly calls: readonly (CallSums & { readonly method: string; readonly name: string; readonly lastAt: string })[];
    /** `context` empty: the same. */
    readonly contexts: readonly (CallSums & { readonly context: string; readonly lastAt: string })[];
  };
}

export type Refusal = { readonly kind: 'unknown' } | { readonly kind: 'invalid'; readonly reason: string };

/** Looks for single rows, at most, for one answer: a second or two of the worker's time. */
const LOOKS_MAX = 1_000_000;
/** A run is known to have lived until it was last written down, and that is done once a minute. */
const SAVED_LATE_S = 120;
const RUN_KINDS = 'SELECT id, first_s, last_s FROM runs WHERE tool = ?';

export interface QueryContext {
  readonly store: Store;
  readonly timeline: Timeline;
  readonly settings: HistorySettings;
  /** Of the series. */
  readonly nowS: number;
}

export function answer(question: HistoryQuestion, context: QueryContext): Result<HistoryDocument, Refusal> {
  const { store, timeline, settings, nowS } = context;
  const totals = readTotals(store, question.tool);
  const own = question.run === null ? '' : ' AND run = ?';
  const known = store.rows(`${RUN_KINDS}${own}`, [question.tool, ...(question.run === null ? [] : [question.run])]);
  if (known.length === 0 && totals.calls.length === 0) return err({ kind: 'unknown' });
  const plan = planRange(question, settings, timeline.wallOf(nowS) + 1);
  if (!plan.ok) return err({ kind: 'invalid', reason: plan.error });
  const looks = known.flatMap((row) => lookups(row.map(Number), plan.value, context));
  const count = looks.reduce((sum, { piece }) => sum + piece.toBucket - piece.fromBucket, 0);
  if (count > LOOKS_MAX)
    return err({
      kind: 'invalid',
      reason: `${known.length} runs over so long a time: ask for a shorter range, a larger step, or one run`,
    });
  const iso = (second: number): string => new Date(second * 1000).toISOString();
  const last = <T extends { readonly lastS: number }>({ lastS, ...sums }: T) => ({
    ...sums,
    lastAt: iso(timeline.wallOf(lastS)),
  });
  return ok({
    tool: question.tool,
    run: question.run,
    from: iso(plan.value.fromS),
    to: iso(plan.value.toS),
    stepMs: plan.value.stepS * 1000,
    ...columns(question.resources, plan.value, looks, store, iso),
    totals: { calls: totals.calls.map(last), contexts: totals.contexts.map(last) },
  });
}

interface Look {
  readonly runId: number;
  readonly piece: Piece;
  readonly offsetS: number;
}

/** The parts of the range in which a run can have rows. */
function lookups(run: readonly number[], range: Range, { store, timeline, nowS }: QueryContext): readonly Look[] {
  const [runId = 0, firstS = 0, lastS = 0] = run;
  const madeS = (tier: Piece['tier']): number => store.mark(tier) * tier.stepS;
  let doneS = -Infinity;
  return timeline.within(range.fromS, range.toS).flatMap(({ fromS, toS, offsetS }: Stretch) => {
    const startS = Math.max(fromS, firstS, doneS);
    const untilS = Math.min(toS, lastS + SAVED_LATE_S, nowS + 1);
    if (startS >= untilS) return [];
    const found = pieces(range.tier, startS, untilS, madeS).map((piece) => ({ runId, piece, offsetS }));
    // The last bucket may reach into the next stretch.
    for (const { piece } of found) doneS = piece.toBucket * piece.tier.stepS;
    return found;
  });
}

function columns(
  resources: readonly Resource[],
  { fromS, toS, stepS }: Range,
  looks: readonly Look[],
  store: Store,
  iso: (second: number) => string,
): Pick<HistoryDocument, 'at' | 'runs' | 'resources'> {
  const count = (toS - fromS) / stepS;
  const stints = resources.map(() => Array.from({ length: count }, (): Stint[] => []));
  const seen = Array.from({ length: count }, () => new Set<number>());
  for (const { runId, piece, offsetS } of looks) {
    const rows = store.rows(sqlOfRows(piece.tier, resources), [piece.fromBucket, piece.toBucket, runId]);
    for (const row of rows) {
      const [bucket = 0, since = 0, until = 0] = row.slice(0, 3).map(Number);
      const bucketS = bucket * piece.tier.stepS + offsetS;
      // Where its bucket begins is where it counts, though its end may lie in the next step.
      const step = Math.floor((bucketS - fromS) / stepS);
      if (step < 0 || step >= count) continue;
      seen[step]?.add(runId);
      for (let n = 0; n < resources.length; n++) {
        const [mean, min, max] = row.slice(3 + n * 3, 6 + n * 3) as (number | null)[];
        stints[n]?.[step]?.push({
          fromS: bucketS + since,
          untilS: bucketS + until,
          mean: mean ?? null,
          min: min ?? null,
          max: max ?? null,
        });
      }
    }
  }
  return {
    at: Array.from({ length: count }, (_, step) => iso(fromS + step * stepS)),
    runs: seen.map(({ size }) => size),
    resources: resources.map((resource, n) => {
      const points = (stints[n] ?? []).map((each) => fold(each, resource === 'runtime'));
      return {
        resource,
        unit: UNIT[resource],
        mean: points.map(({ mean }) => (mean === null ? null : rounded(resource, mean))),
        min: points.map(({ min }) => min),
        max: points.map(({ max }) => max),
      };
    }),
  };
}

/** Bytes and milliseconds have no parts that anybody wants to read. */
function rounded(resource: Resource, value: number): number {
  const whole = UNIT[resource] === 'bytes' || UNIT[resource] === 'ms';
  return whole ? Math.round(value) : Math.round(value * 1000) / 1000;
}

export const ALL_RESOURCES: readonly Resource[] = RESOURCES;
