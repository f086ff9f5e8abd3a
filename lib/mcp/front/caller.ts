/** Who asks, as the guard before the front has found. */

import type { View } from '../wire/session.ts';

export interface Caller {
  readonly view: View;
  /** A token's label, or how it came in without one. Sessions belong to it: nobody else can use them. */
  readonly identity: string;
  /** On this machine: no network is in between. */
  readonly local: boolean;
  /** Names the context that its usage is counted to; null: the front chooses. */
  readonly label: string | null;
}

const MAX_LABEL_CHARACTERS = 256;

/** @returns the label, null for none, or what is wrong with it */
export function readLabel(
  text: string | null | undefined,
): { readonly label: string | null } | { readonly problem: string } {
  if (text === null || text === undefined || text === '') return { label: null };
  if (text.length > MAX_LABEL_CHARACTERS)
    return { problem: `a context has at most ${MAX_LABEL_CHARACTERS} characters` };
  if (/\p{Cc}/u.test(text)) return { problem: 'a context has no control characters' };
  return { label: text };
}

export function sameView(one: View, other: View): boolean {
  if (one.kind === 'all' || other.kind === 'all') return one.kind === other.kind;
  return one.tool === other.tool;
}
