/** What a server said of itself and of what it offers, kept so that it can be seen while the server sleeps. */

import type { Answer, Fields, RequestBody } from '../wire/message.ts';
import type { Exchange, ServerDescription, Session } from '../wire/session.ts';
import { canonical } from './identity.ts';

/** Method → the field of its result that holds the entries. */
const LISTS = {
  'tools/list': 'tools',
  'resources/list': 'resources',
  'resources/templates/list': 'resourceTemplates',
  'prompts/list': 'prompts',
} as const;
type ListMethod = keyof typeof LISTS;

export type ChangedList = 'tools' | 'resources' | 'prompts';

/** What each `list_changed` is about, and the capability that offers it. */
const OF_LIST: Readonly<Record<ListMethod, ChangedList>> = {
  'tools/list': 'tools',
  'resources/list': 'resources',
  'resources/templates/list': 'resources',
  'prompts/list': 'prompts',
};

export interface Catalogue {
  readonly server: ServerDescription;
  /** Results with all pages in one. Absent: not offered, or too long to be kept. */
  readonly lists: Readonly<Partial<Record<ListMethod, Fields>>>;
}

/** More entries than any client shows; a server that pages without end must not fill the memory. */
const ENTRIES_MAX = 10_000;
const PAGES_MAX = 1_000;

/** The whole list, from what is kept; null where the server itself has to be asked. Nobody knows how fresh it is. */
export function listed(catalogue: Catalogue, { method, params }: RequestBody): Answer | null {
  if (!isList(method) || params?.['cursor'] !== undefined) return null;
  const result = catalogue.lists[method];
  if (result === undefined) return null;
  return { kind: 'result', result: result['ttlMs'] === undefined ? result : { ...result, ttlMs: 0 } };
}

export function isList(method: string): method is ListMethod {
  return Object.hasOwn(LISTS, method);
}

/** Asks for all lists that the server offers. A list that fails is left out: its server is asked for it when it is wanted. */
export async function collect(session: Session, server: ServerDescription, exchange: Exchange): Promise<Catalogue> {
  const methods = (Object.keys(LISTS) as ListMethod[]).filter(
    (method) => server.capabilities[OF_LIST[method]] !== undefined,
  );
  const lists: Partial<Record<ListMethod, Fields>> = {};
  for (const method of methods) {
    const whole = await allPages(session, method, exchange);
    if (whole !== null) lists[method] = whole;
  }
  return { server, lists };
}

/** What a client has to be told when one takes the place of the other. */
export function changedLists(before: Catalogue, after: Catalogue): readonly ChangedList[] {
  const changed = (Object.keys(LISTS) as ListMethod[]).filter(
    (method) => canonical(before.lists[method] ?? null) !== canonical(after.lists[method] ?? null),
  );
  return [...new Set(changed.map((method) => OF_LIST[method]))];
}

async function allPages(session: Session, method: ListMethod, exchange: Exchange): Promise<Fields | null> {
  const field = LISTS[method];
  const entries: unknown[] = [];
  let first: Fields | null = null;
  let cursor: unknown;
  for (let page = 0; page < PAGES_MAX; page++) {
    const answer = await session.request({ method, ...(cursor === undefined ? {} : { params: { cursor } }) }, exchange);
    if (answer.kind === 'error') return null;
    first ??= answer.result;
    const some = answer.result[field];
    if (!Array.isArray(some) || entries.length + some.length > ENTRIES_MAX) return null;
    entries.push(...(some as unknown[]));
    cursor = answer.result['nextCursor'];
    if (cursor === undefined || cursor === null) {
      const { nextCursor: _last, ...rest } = first;
      return { ...rest, [field]: entries };
    }
  }
  return null;
}
