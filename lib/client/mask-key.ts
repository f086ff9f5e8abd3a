/** Keys name accounts and hold tokens: logs and errors get to see their last four characters, of short ones nothing. */

import { inspect } from 'node:util';

const MASK = '****';
const SHOWN_CHARACTERS = 4;
/** Of a key that is not longer than this, four characters would be half of it. */
const SHORT_CHARACTERS = 8;

/** `****cdef`; `****` for a key of up to eight characters. */
export function maskKey(key: string): string {
  const characters = Array.from(key.slice(-2 * SHORT_CHARACTERS - 2));
  if (characters.length <= SHORT_CHARACTERS) return MASK;
  return `${MASK}${characters.slice(-SHOWN_CHARACTERS).join('').replaceAll(/\p{C}/gu, '?')}`;
}

/** What was thrown, in words, with the key masked wherever it stands in them. */
export function messageWithoutKey(thrown: unknown, key: string): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return key === '' ? text : text.replaceAll(key, maskKey(key));
}

/** For `cause`: what was thrown, unless whoever prints it would print the key. */
export function causeWithoutKey(thrown: unknown, key: string): { cause?: unknown } {
  return key !== '' && inspect(thrown, { depth: 6 }).includes(key) ? {} : { cause: thrown };
}
