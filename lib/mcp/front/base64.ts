/** Base64 as RFC 4648 section 4 has it, of UTF-8: Buffer takes anything. */

import { isUtf8 } from 'node:buffer';

export function isBase64Text(coded: string): boolean {
  if (coded.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(coded)) return false;
  return isUtf8(Buffer.from(coded, 'base64'));
}
