/** What a call is called, for people. Pure. */

import { maskLabel } from '../../core/mask.ts';
import type { RequestBody } from '../wire/message.ts';

const LABEL_MAX = 128;

/** Of the tool, prompt or resource; null where the request names none. */
export function nameOf({ params }: RequestBody): string | null {
  const name = params?.['name'] ?? params?.['uri'];
  return typeof name === 'string' ? name : null;
}

/** `tools/call search`. It goes on record and onto terminals, where a URI, which may hold a secret, does not belong. */
export function labelOf({ method, params }: RequestBody): string {
  const name = params?.['name'];
  return maskLabel(typeof name === 'string' ? `${method} ${name}` : method, LABEL_MAX);
}
