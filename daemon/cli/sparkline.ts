/** A series as one line of text. */

const HEIGHTS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const;
/** What is not there is not drawn, least of all as a low value. */
const GAP = ' ';

/**
 * One column a value, the highest in full height, zero at the bottom.
 * @param values null: a gap
 * @param columns at most; several values share one, and its highest counts
 */
export function sparkline(values: readonly (number | null)[], columns: number): string {
  const width = Math.max(1, Math.min(columns, values.length));
  const cells = Array.from({ length: width }, (_, column) => {
    const from = Math.floor((column * values.length) / width);
    const to = Math.floor(((column + 1) * values.length) / width);
    return highest(values.slice(from, to));
  });
  const most = highest(cells) ?? 0;
  return cells
    .map((value) => {
      if (value === null) return GAP;
      const height = most <= 0 ? 0 : Math.round((Math.max(0, value) / most) * (HEIGHTS.length - 1));
      return HEIGHTS[height] ?? HEIGHTS[0];
    })
    .join('');
}

export function highest(values: readonly (number | null)[]): number | null {
  return values.reduce((most, value) => (value === null || (most !== null && most >= value) ? most : value), null);
}

export function lowest(values: readonly (number | null)[]): number | null {
  return values.reduce((least, value) => (value === null || (least !== null && least <= value) ? least : value), null);
}
