/** The filter of `subscriptions/listen` (2026-07-28, basic/patterns/subscriptions). Pure. */

import type { Fields, NotificationBody } from '../wire/message.ts';
import { fieldsOf, isFields } from '../wire/shape.ts';

export interface ListenFilter {
  readonly toolsListChanged?: true;
  readonly promptsListChanged?: true;
  readonly resourcesListChanged?: true;
  /** Each once. */
  readonly resourceSubscriptions?: readonly string[];
}

const LISTS = {
  toolsListChanged: { capability: 'tools', method: 'notifications/tools/list_changed' },
  promptsListChanged: { capability: 'prompts', method: 'notifications/prompts/list_changed' },
  resourcesListChanged: { capability: 'resources', method: 'notifications/resources/list_changed' },
} as const;

export const ACKNOWLEDGED = 'notifications/subscriptions/acknowledged';
export const UPDATED = 'notifications/resources/updated';

/** @returns null where it is none: `notifications` is required */
export function readFilter(params: Fields | undefined): ListenFilter | null {
  const given = params?.['notifications'];
  if (!isFields(given)) return null;
  const uris = given['resourceSubscriptions'];
  if (uris !== undefined && (!Array.isArray(uris) || uris.some((uri) => typeof uri !== 'string'))) return null;
  return {
    ...flags(given),
    ...(uris === undefined || uris.length === 0 ? {} : { resourceSubscriptions: [...new Set(uris as string[])] }),
  };
}

function flags(given: Fields): Pick<ListenFilter, keyof typeof LISTS> {
  return Object.fromEntries(Object.keys(LISTS).flatMap((name) => (given[name] === true ? [[name, true]] : [])));
}

/** What a server with these capabilities can keep of it. */
export function honoured(filter: ListenFilter, capabilities: Fields): ListenFilter {
  const has = (capability: string, what: string): boolean => fieldsOf(capabilities[capability])[what] === true;
  const lists = Object.entries(LISTS).filter(
    ([name, { capability }]) => filter[name as keyof typeof LISTS] === true && has(capability, 'listChanged'),
  );
  const uris = has('resources', 'subscribe') ? filter.resourceSubscriptions : undefined;
  return {
    ...Object.fromEntries(lists.map(([name]) => [name, true])),
    ...(uris === undefined ? {} : { resourceSubscriptions: uris }),
  };
}

export function isEmptyFilter(filter: ListenFilter): boolean {
  return Object.keys(filter).length === 0;
}

/** Which entry of the filter lets this through; null: none. A server may name a part of what was subscribed to. */
export function admittedBy(filter: ListenFilter, { method, params }: NotificationBody): 'list' | 'resource' | null {
  if (method === UPDATED) {
    const uri = params?.['uri'];
    return typeof uri === 'string' && filter.resourceSubscriptions?.some((known) => covers(known, uri)) === true
      ? 'resource'
      : null;
  }
  const isListed = Object.entries(LISTS).some(
    ([name, list]) => list.method === method && filter[name as keyof typeof LISTS] === true,
  );
  return isListed ? 'list' : null;
}

/** Whether an update of `uri` is one for who subscribed to `known`: the same, or below it. */
export function covers(known: string, uri: string): boolean {
  if (!uri.startsWith(known)) return false;
  return uri.length === known.length || known.endsWith('/') || '/#?'.includes(uri.charAt(known.length));
}
