import { isFields } from '../wire/shape.ts';
/** Cursors of merged lists: which list, which server, and that server's own cursor. Pure, and good in any session. */

export interface Position {
  readonly server: string;
  /** The server's own; null: its first page. An empty one is one too. */
  readonly cursor: string | null;
}

export function encodeCursor(list: string, { server, cursor }: Position): string {
  return Buffer.from(JSON.stringify({ list, server, cursor })).toString('base64url');
}

/** @returns null for what is no cursor of this list */
export function decodeCursor(list: string, text: unknown): Position | null {
  if (typeof text !== 'string') return null;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    return null;
  }
  if (!isFields(value) || value['list'] !== list) return null;
  const { server, cursor } = value;
  return typeof server === 'string' && (typeof cursor === 'string' || cursor === null) ? { server, cursor } : null;
}
