/** Replacing ranges of a text by the mask. */

export const MASK = '•••';

/** Half-open range of UTF-16 units to hide. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Spans in ascending order, without overlap. */
export function hide(text: string, spans: readonly Span[]): string {
  if (spans.length === 0) return text;
  const parts: string[] = [];
  let from = 0;
  for (const { start, end } of spans) {
    parts.push(text.slice(from, start), MASK);
    from = end;
  }
  parts.push(text.slice(from));
  return parts.join('');
}
