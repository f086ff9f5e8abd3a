/** A server's whole list, whatever its pages. */

import type { Answer, Fields } from '../wire/message.ts';
import type { Exchange, Session } from '../wire/session.ts';
import { isFields } from '../wire/shape.ts';

/** More than any client shows; a server that pages without end must not fill the memory. */
const ENTRIES_MAX = 10_000;
const PAGES_MAX = 1_000;

export interface List {
  readonly method: string;
  /** Of the result: where the entries are. */
  readonly field: string;
}

/**
 * @param own parameters of each page
 * @returns the error of the page that failed. A list without end is cut.
 */
export async function allEntries(
  session: Pick<Session, 'request'>,
  { method, field }: List,
  own: Fields,
  exchange: Exchange,
): Promise<readonly Fields[] | Extract<Answer, { kind: 'error' }>> {
  const entries: Fields[] = [];
  let params = own;
  for (let page = 0; page < PAGES_MAX && entries.length < ENTRIES_MAX; page++) {
    const answer = await session.request({ method, params }, exchange);
    if (answer.kind === 'error') return answer;
    entries.push(...entriesOf(answer.result, field).slice(0, ENTRIES_MAX - entries.length));
    const cursor = cursorOf(answer.result);
    if (cursor === null) break;
    params = { ...own, cursor };
  }
  return entries;
}

export function entriesOf(result: Fields, field: string): readonly Fields[] {
  const entries = result[field];
  return Array.isArray(entries) ? entries.filter(isFields) : [];
}

/** An empty one is one too. */
export function cursorOf(result: Fields): string | null {
  const cursor = result['nextCursor'];
  return typeof cursor === 'string' ? cursor : null;
}
