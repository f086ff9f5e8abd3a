/** Which entries an invalidation means. Plain JSON: it goes to other replicas as it is. */

import { GovernorError } from '../core/errors.ts';
import { UriTemplate } from '../core/uri-template.ts';
import { normalizeUri } from '../core/uri-text.ts';
import type { EntryId, FullId } from './cache-types.ts';

export type Selector =
  | { readonly key: string }
  /** `above`: also what it is a part of, as `file:///a` is of `file:///a/b`. */
  | { readonly uri: string; readonly group?: string; readonly above?: true }
  /** An RFC 6570 template that the URI must match. */
  | { readonly pattern: string; readonly group?: string }
  | { readonly group: string }
  | { readonly all: true }
  | { readonly any: readonly Selector[] };

export type Matcher = (id: FullId) => boolean;

/** @throws GovernorError invalid_request for what selects nothing, or a template that is none */
export function matcherOf(selector: Selector): Matcher {
  if ('all' in selector) return () => true;
  if ('any' in selector && Array.isArray(selector.any)) {
    const some = selector.any.map(matcherOf);
    return (id) => some.some((matches) => matches(id));
  }
  if ('key' in selector && typeof selector.key === 'string') return ({ key }) => key === selector.key;
  const group = selector as { readonly group?: string };
  const inGroup: Matcher = (id) => group.group === undefined || id.group === group.group;
  if ('uri' in selector && typeof selector.uri === 'string') {
    const uri = normalizeUri(selector.uri);
    if (selector.above !== true) return (id) => inGroup(id) && normalizeUri(id.uri) === uri;
    return (id) => inGroup(id) && isPartOf(uri, normalizeUri(id.uri));
  }
  if ('pattern' in selector && typeof selector.pattern === 'string') {
    const template = UriTemplate.of(selector.pattern);
    return (id) => inGroup(id) && template.match(id.uri) !== null;
  }
  if (typeof group.group === 'string') return inGroup;
  throw new GovernorError('invalid_request', 'what is to be invalidated is one of key, uri, pattern, group and all');
}

export function fullId(id: string | EntryId): FullId {
  if (typeof id === 'string') return { key: id, uri: id, group: '' };
  return { key: id.key, uri: id.uri ?? id.key, group: id.group ?? '' };
}

function isPartOf(uri: string, whole: string): boolean {
  if (!uri.startsWith(whole)) return false;
  return uri.length === whole.length || whole.endsWith('/') || '/?#'.includes(uri.charAt(whole.length));
}
