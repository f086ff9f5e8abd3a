/** Reads a series back. */

import { UNIT } from '../../core/resource.ts';
import type { Resource, Unit } from '../../core/resource.ts';
import { err, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';
import { fold } from './fold.ts';
import type { Point, Stint } from './fold.ts';
import { pieces, planRange } from './plan.ts';
import type { AskedRange, Piece, Range } from './plan.ts';
import { rowsOf as sqlOfRows } from './sql.ts';
import type { Store } from './store.ts';
import { rounded } from './tiers.ts';
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

/** `unknown_run`: of the tool there is something, of that run there is not. */
export type Refusal =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'unknown_run' }
  | { readonly kind: 'invalid'; readonly reason: string };

/** Values looked for, at most, for one answer (rows times resources): some seconds of the worker's time, and readings wait no longer. */
const VALUES_MAX = 1_000_000;
/** Rows that are held at once, whatever is asked: a step that has more is held as a whole. Some ten MB. */
const ROWS_HELD = 20_000;
/** Runs whose life is read for one answer. */
const RUNS_MAX = 20_000;
/** A run is known to have lived until it was last written down, and that is done once a minute. */
const SAVED_LATE_S = 120;
const IS_KNOWN = 'SELECT 1 FROM runs WHERE tool = ?';
const LIVES = `SELECT id, first_s, last_s FROM runs WHERE tool = ?1 AND first_s < ?2 AND last_s >= ?3`;

export interface QueryContext {
  readonly store: Store;
  readonly timeline: Timeline;
  readonly settings: HistorySettings;
  /** Of the series. */
  readonly nowS: number;
}

export function answer(question: HistoryQuestion, context: QueryContext): Result<HistoryDocument, Refusal> {
  const { store, timeline, settings, nowS } = context;
  const { tool, run } = question;
  const totals = readTotals(store, tool);
  const isKnown = store.rows(`${IS_KNOWN} LIMIT 1`, [tool]).length > 0 || totals.calls.length > 0;
  if (!isKnown) return err({ kind: 'unknown' });
  if (run !== null && store.rows(`${IS_KNOWN} AND run = ?`, [tool, run]).length === 0)
    return err({ kind: 'unknown_run' });
  const plan = planRange(question, settings, timeline.wallOf(nowS) + 1);
  if (!plan.ok) return err({ kind: 'invalid', reason: plan.error });
  const runs = livesWithin(question, plan.value, context);
  const looks = runs.slice(0, RUNS_MAX).flatMap((life) => lookups(life.map(Number), plan.value, context));
  const rows = looks.reduce((sum, { piece }) => sum + piece.toBucket - piece.fromBucket, 0);
  if (runs.length > RUNS_MAX || rows * question.resources.length > VALUES_MAX)
    return err({
      kind: 'invalid',
      reason: `${runs.length > RUNS_MAX ? 'too many' : runs.length} runs over so long a time: ask for a shorter range, a larger step, fewer resources, or one run`,
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

/** Its runs that can have rows within the range. */
function livesWithin({ tool, run }: HistoryQuestion, range: Range, { store, timeline }: QueryContext) {
  const stretches = timeline.within(range.fromS, range.toS);
  const fromS = (stretches[0]?.fromS ?? 0) - SAVED_LATE_S;
  const toS = Math.min(stretches.at(-1)?.toS ?? 0, Number.MAX_SAFE_INTEGER);
  const own = run === null ? '' : ' AND run = ?4';
  return store.rows(`${LIVES}${own} LIMIT ${RUNS_MAX + 1}`, [tool, toS, fromS, ...(run === null ? [] : [run])]);
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

/** Step by step, as many at once as have no more rows than may be held. */
function columns(
  resources: readonly Resource[],
  range: Range,
  looks: readonly Look[],
  store: Store,
  iso: (second: number) => string,
): Pick<HistoryDocument, 'at' | 'runs' | 'resources'> {
  const { fromS, toS, stepS } = range;
  const count = (toS - fromS) / stepS;
  const rows = looks.reduce((sum, { piece }) => sum + piece.toBucket - piece.fromBucket, 0);
  const atOnce = Math.max(1, Math.ceil(count / Math.max(1, Math.ceil(rows / ROWS_HELD))));
  const runs: number[] = [];
  const points: Point[][] = resources.map(() => []);
  for (let first = 0; first < count; first += atOnce) {
    const part = { ...range, fromS: fromS + first * stepS, toS: Math.min(toS, fromS + (first + atOnce) * stepS) };
    const { seen, stints } = stintsOf(resources, part, looks, store);
    for (const { size } of seen) runs.push(size);
    for (const [n, resource] of resources.entries())
      for (const each of stints[n] ?? []) points[n]?.push(fold(each, resource === 'runtime'));
  }
  return {
    at: Array.from({ length: count }, (_, step) => iso(fromS + step * stepS)),
    runs,
    resources: resources.map((resource, n) => ({
      resource,
      unit: UNIT[resource],
      mean: (points[n] ?? []).map(({ mean }) => (mean === null ? null : rounded(UNIT[resource], mean))),
      min: (points[n] ?? []).map(({ min }) => min),
      max: (points[n] ?? []).map(({ max }) => max),
    })),
  };
}

/** By resource and step; and the runs that are seen in each step. */
function stintsOf(resources: readonly Resource[], { fromS, toS, stepS }: Range, looks: readonly Look[], store: Store) {
  const count = (toS - fromS) / stepS;
  const stints = resources.map(() => Array.from({ length: count }, (): Stint[] => []));
  const seen = Array.from({ length: count }, () => new Set<number>());
  for (const { runId, piece, offsetS } of looks) {
    const { tier } = piece;
    // Where its bucket begins is where it counts, though its end may lie in the next step.
    const fromBucket = Math.max(piece.fromBucket, Math.ceil((fromS - offsetS) / tier.stepS));
    const toBucket = Math.min(piece.toBucket, Math.ceil((toS - offsetS) / tier.stepS));
    if (fromBucket >= toBucket) continue;
    for (const row of store.rows(sqlOfRows(tier, resources), [fromBucket, toBucket, runId])) {
      const [bucket = 0, since = 0, until = 0] = row.slice(0, 3).map(Number);
      const bucketS = bucket * tier.stepS + offsetS;
      const step = Math.floor((bucketS - fromS) / stepS);
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
  return { seen, stints };
}
