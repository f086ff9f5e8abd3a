/**
 * `governor:PART/URI`: the URI of one server among several that have the same. Every resource can be had by it; lists show it where the
 * plain URI belongs to a server that comes earlier in the file. It works for templates too: what is expanded has the same beginning.
 */

const SCHEME = 'governor:';

export function qualifiedUri(part: string, uri: string): string {
  return `${SCHEME}${part}/${uri}`;
}

export interface QualifiedUri {
  readonly part: string;
  readonly uri: string;
}

export function readQualifiedUri(uri: string): QualifiedUri | null {
  if (!uri.startsWith(SCHEME)) return null;
  const slash = uri.indexOf('/', SCHEME.length);
  return slash === -1 ? null : { part: uri.slice(SCHEME.length, slash), uri: uri.slice(slash + 1) };
}

/** Up to and with the colon; '' where there is none. */
export function schemeOf(uri: string): string {
  return uri.slice(0, uri.indexOf(':') + 1).toLowerCase();
}
