/**
 * Rows of one tool, of any of its runs, become one series. What runs use at once is added up, as in every view of a tool; the
 * longest runtime counts. One run that could not be read makes the sum unread for as long as it ran. Of the lowest and the
 * highest of several runs only bounds are known: their sums. Pure.
 */

/** A stretch of one run: `untilS` excluded, series or wall time alike. */
export interface Stint {
  readonly fromS: number;
  readonly untilS: number;
  readonly mean: number | null;
  readonly min: number | null;
  readonly max: number | null;
}

export interface Point {
  readonly mean: number | null;
  readonly min: number | null;
  readonly max: number | null;
}

export const NO_POINT: Point = { mean: null, min: null, max: null };

/** @param isLongest the largest of several counts, not their sum */
export function fold(stints: readonly Stint[], isLongest: boolean): Point {
  const only = stints[0];
  if (only === undefined) return NO_POINT;
  if (stints.length === 1) return only.mean === null ? NO_POINT : { mean: only.mean, min: only.min, max: only.max };
  if (stints.every(({ fromS }, n) => n === 0 || fromS >= (stints[n - 1]?.untilS ?? 0))) return inTurn(stints);
  const edges = [...new Set(stints.flatMap(({ fromS, untilS }) => [fromS, untilS]))].sort((a, b) => a - b);
  // In order of their begin, so that each edge adds and removes a few.
  const waiting = stints.toSorted((a, b) => a.fromS - b.fromS);
  let next = 0;
  let open: Stint[] = [];
  let [secondsS, sum, min, max] = [0, 0, Infinity, -Infinity];
  for (const [index, fromS] of edges.entries()) {
    const untilS = edges[index + 1];
    if (untilS === undefined) break;
    open = open.filter((stint) => stint.untilS > fromS);
    for (let stint = waiting[next]; stint !== undefined && stint.fromS <= fromS; stint = waiting[++next])
      open.push(stint);
    const together = add(open, isLongest);
    if (together === null) continue;
    secondsS += untilS - fromS;
    sum += together.mean * (untilS - fromS);
    min = Math.min(min, together.min);
    max = Math.max(max, together.max);
  }
  return secondsS === 0 ? NO_POINT : { mean: sum / secondsS, min, max };
}

/** One after the other: mostly it is a single run. */
function inTurn(stints: readonly Stint[]): Point {
  let [secondsS, sum, lowest, highest] = [0, 0, Infinity, -Infinity];
  for (const { fromS, untilS, mean, min, max } of stints) {
    if (mean === null || min === null || max === null) continue;
    secondsS += untilS - fromS;
    sum += mean * (untilS - fromS);
    lowest = Math.min(lowest, min);
    highest = Math.max(highest, max);
  }
  return secondsS === 0 ? NO_POINT : { mean: sum / secondsS, min: lowest, max: highest };
}

function add(open: readonly Stint[], isLongest: boolean): { mean: number; min: number; max: number } | null {
  if (open.length === 0) return null;
  let [mean, min, max] = [0, 0, 0];
  for (const stint of open) {
    if (stint.mean === null || stint.min === null || stint.max === null) return null;
    mean = isLongest ? Math.max(mean, stint.mean) : mean + stint.mean;
    min = isLongest ? Math.max(min, stint.min) : min + stint.min;
    max = isLongest ? Math.max(max, stint.max) : max + stint.max;
  }
  return { mean, min, max };
}
