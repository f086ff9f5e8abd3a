/** Reads a JSON request body, and says where it is wrong: V8's own message has no position for most mistakes. */

import { GovernorError } from '../../lib/core/errors.ts';

/**
 * @param bytes the whole body, UTF-8 (RFC 8259 section 8.1)
 * @returns undefined for an empty body
 * @throws GovernorError `invalid_request` with line and column of the first mistake
 */
export function parseJsonBody(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  const text = decodeUtf8(bytes);
  const mistake = firstJsonMistake(text);
  if (mistake === null) return JSON.parse(text) as unknown;
  const { line, column } = position(text, mistake.offset);
  throw new GovernorError(
    'invalid_request',
    `The body is not JSON: line ${line}, column ${column}: ${mistake.message}`,
    {
      problems: [{ where: { line, column }, message: mistake.message }],
    },
  );
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch (cause) {
    throw new GovernorError('invalid_request', 'The body is not UTF-8', { cause });
  }
}

export interface JsonMistake {
  /** Index in UTF-16 units. */
  readonly offset: number;
  readonly message: string;
}

const LITERAL = /true|false|null/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const BLANK = /[ \t\n\r]*/y;

/** The grammar of RFC 8259 without recursion, so that a megabyte of `[` is read like anything else. */
export function firstJsonMistake(text: string): JsonMistake | null {
  const open: ('{' | '[')[] = [];
  let at = skip(BLANK, text, 0);
  let expects: 'value' | 'value or ]' | 'name' | 'name or }' | 'after' = 'value';
  for (;;) {
    const char = text[at];
    if (char === undefined)
      return expects === 'after' && open.length === 0 ? null : wrong(at, text, wanted(expects, open));
    if (expects === 'after') {
      const inside = open.at(-1);
      if (inside === undefined) return wrong(at, text, 'the end');
      if (char === ',') {
        expects = inside === '{' ? 'name' : 'value';
        at += 1;
      } else if (char === (inside === '{' ? '}' : ']')) {
        open.pop();
        at += 1;
      } else return wrong(at, text, wanted(expects, open));
    } else if (expects === 'name' || expects === 'name or }') {
      if (char === '}' && expects === 'name or }') {
        open.pop();
        at += 1;
        expects = 'after';
      } else {
        if (char !== '"') return wrong(at, text, wanted(expects, open));
        const end = endOfString(text, at);
        if (typeof end !== 'number') return end;
        at = skip(BLANK, text, end);
        if (text[at] !== ':') return wrong(at, text, '":"');
        at += 1;
        expects = 'value';
      }
    } else if (char === ']' && expects === 'value or ]') {
      open.pop();
      at += 1;
      expects = 'after';
    } else if (char === '{' || char === '[') {
      open.push(char);
      at += 1;
      expects = char === '{' ? 'name or }' : 'value or ]';
    } else {
      const end = char === '"' ? endOfString(text, at) : Math.max(skip(LITERAL, text, at), skip(NUMBER, text, at));
      if (typeof end !== 'number') return end;
      if (end === at) return wrong(at, text, wanted(expects, open));
      at = end;
      expects = 'after';
    }
    at = skip(BLANK, text, at);
  }
}

function endOfString(text: string, start: number): number | JsonMistake {
  let at = start + 1;
  for (;;) {
    const code = text.charCodeAt(at);
    if (Number.isNaN(code)) return { offset: start, message: 'a string that is never closed' };
    if (code === 0x22) return at + 1;
    if (code < 0x20) return { offset: at, message: 'a control character in a string; write it as an escape' };
    if (code === 0x5c) {
      const end = skip(ESCAPE, text, at);
      if (end === at) return { offset: at, message: 'an escape that JSON does not know' };
      at = end;
    } else at += 1;
  }
}

function wanted(expects: string, open: readonly ('{' | '[')[]): string {
  const inside = open.at(-1);
  if (expects === 'after') return inside === '{' ? '"," or "}"' : '"," or "]"';
  if (expects === 'name') return 'a name in double quotes';
  if (expects === 'name or }') return 'a name in double quotes or "}"';
  return expects === 'value or ]' ? 'a value or "]"' : 'a value';
}

function wrong(offset: number, text: string, expected: string): JsonMistake {
  const found = text.codePointAt(offset);
  const what = found === undefined ? 'the end' : JSON.stringify(String.fromCodePoint(found));
  return { offset, message: `expected ${expected}, found ${what}` };
}

/** The index behind a match of a sticky pattern, or `at` when it does not match. */
function skip(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}

function position(text: string, offset: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}
