/** Finds the values of secret names in free text. */

import type { Span } from './mask-span.ts';
import { isSecretName } from './mask-names.ts';

/**
 * Values in `name=value`, `name: value`, `"name": "value"` (also escaped once more), `--name value`, and what follows
 * `Authorization:` and `Cookie:` up to the end of the line or the next quote.
 */
export function findPairs(text: string): Span[] {
  const spans: Span[] = [];
  const names = /[\w.-]+/g;
  for (let match = names.exec(text); match !== null; match = names.exec(text)) {
    const [name] = match;
    if (!isSecretName(name)) continue;
    const span = valueAfter(text, name, names.lastIndex);
    if (span === null) continue;
    if (span.end > span.start) spans.push(span);
    names.lastIndex = Math.max(span.end, names.lastIndex);
  }
  return spans;
}

const SEPARATOR = /(\\*["'`])?([^\S\n]{0,8})(=>|[=:])[^\S\n]{0,8}(\\*["'`])?/y;
const SPACE = /[^\S\n]{1,8}(\\*["'`])?(?!-)/y;
const REST_OF_LINE = /[^\n\r"'`]*/y;
/** `/srv/get-token: permission denied` says why, and no secret. */
const WHY =
  /: (?:permission denied|command not found|no such file or directory|is a directory|not a directory|exec format error|text file busy)\b/iy;
const BARE = /[^\s"'`,;&)\]}>\\]*/y;
const SCHEME = /(?:bearer|basic|token|digest|apikey|negotiate)\s{1,8}[^\s"'`,;]*/iy;

function valueAfter(text: string, name: string, from: number): Span | null {
  if (matchAt(WHY, text, from) !== null) return null;
  const separator = matchAt(SEPARATOR, text, from);
  if (separator !== null) {
    const [whole, nameQuote, , sign, quote] = separator;
    // `unknown key: memmory` is a sentence, not a secret.
    if (sign === ':' && nameQuote === undefined && /^keys?$/i.test(name)) return null;
    const start = from + whole.length;
    if (quote !== undefined) return { start, end: endOfQuoted(text, start, quote) };
    if (/authorization|cookie/i.test(name)) return { start, end: start + lengthAt(REST_OF_LINE, text, start) };
    return { start, end: start + Math.max(lengthAt(SCHEME, text, start), lengthAt(BARE, text, start)) };
  }
  if (!/^--?[A-Za-z]{2}/.test(name)) return null;
  const space = matchAt(SPACE, text, from);
  if (space === null) return null;
  const start = from + space[0].length;
  const quote = space[1];
  if (quote !== undefined) return { start, end: endOfQuoted(text, start, quote) };
  return { start, end: start + lengthAt(BARE, text, start) };
}

/** The position of the closing quote, or the end of the text: an unclosed quote hides all that follows. */
function endOfQuoted(text: string, start: number, quote: string): number {
  if (quote.length > 1) {
    const end = text.indexOf(quote, start);
    return end === -1 ? text.length : end;
  }
  for (let index = start; index < text.length; index++) {
    if (text[index] === '\\') index++;
    else if (text[index] === quote) return index;
  }
  return text.length;
}

function matchAt(sticky: RegExp, text: string, index: number): RegExpExecArray | null {
  sticky.lastIndex = index;
  return sticky.exec(text);
}

function lengthAt(sticky: RegExp, text: string, index: number): number {
  return matchAt(sticky, text, index)?.[0].length ?? 0;
}
