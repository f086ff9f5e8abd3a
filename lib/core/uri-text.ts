/** One spelling for URIs that RFC 3986 (6.2.2) holds to be the same, so that they can be compared character by character. */

const PLAIN = /^[!-$&-~]*$/;
const NOT_PLAIN = /%[0-9A-Fa-f]{2}|[^!-~]/gu;
/** Half of a surrogate pair. */
const HALF = /^[\uD800-\uDFFF]$/;
const UNRESERVED = /^[A-Za-z0-9\-._~]$/;

/** ASCII only: hex digits in upper case, nothing encoded that need not be, and everything encoded that must be. */
export function normalizeUri(uri: string): string {
  if (PLAIN.test(uri)) return uri;
  return uri.replace(NOT_PLAIN, (found) => {
    if (!found.startsWith('%') || found.length !== 3) return encodeURIComponent(HALF.test(found) ? '\uFFFD' : found);
    const character = String.fromCharCode(Number.parseInt(found.slice(1), 16));
    return UNRESERVED.test(character) ? character : found.toUpperCase();
  });
}

/** What stood in a URI, as it was before it was encoded; as it is where that is no UTF-8. */
export function decodeUriText(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
