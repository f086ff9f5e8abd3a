/** Aligned columns. */

import { displayWidth, padEnd, padStart, printable, truncate } from './text.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** Longer cells are cut. */
  readonly maxColumns?: number;
}

/** A cell is a text, or a text with a style that does not count for its width. Cells are made printable here. */
export type Cell = string | { readonly text: string; readonly paint: (text: string) => string };

/**
 * One line for the titles and one a row, two spaces between columns, no space at the end of a line.
 * @returns lines without line ends
 */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  paintTitle: (text: string) => string = (text) => text,
): readonly string[] {
  const texts = rows.map((row) => columns.map((column, index) => cellText(row[index] ?? '', column)));
  const widths = columns.map((column, index) =>
    Math.max(displayWidth(column.title), ...texts.map((row) => displayWidth(row[index] ?? ''))),
  );
  const line = (cells: readonly string[], paint: (text: string, index: number) => string): string => {
    const last = cells.findLastIndex((cell) => cell !== '');
    return cells
      .slice(0, last + 1)
      .map((cell, index) =>
        align(cell, columns[index]?.align ?? 'left', widths[index] ?? 0, index === last, (text) => paint(text, index)),
      )
      .join('  ');
  };
  return [
    line(
      columns.map((column) => column.title),
      paintTitle,
    ),
    ...texts.map((cells, row) => line(cells, (text, index) => painter(rows[row]?.[index] ?? '')(text))),
  ];
}

function cellText(cell: Cell, column: Column): string {
  const text = printable(typeof cell === 'string' ? cell : cell.text);
  return column.maxColumns === undefined ? text : truncate(text, column.maxColumns);
}

function painter(cell: Cell): (text: string) => string {
  return typeof cell === 'string' ? (text) => text : cell.paint;
}

/** The padding stays outside of the style. */
function align(
  text: string,
  side: 'left' | 'right',
  width: number,
  last: boolean,
  paint: (text: string) => string,
): string {
  const painted = text === '' ? '' : paint(text);
  if (side === 'right') return padStart(text, width).slice(0, padStart(text, width).length - text.length) + painted;
  return last ? painted : painted + padEnd(text, width).slice(text.length);
}
