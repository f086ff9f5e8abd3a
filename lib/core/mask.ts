/**
 * Hides secrets in what people and files get to see: command lines, log lines, error messages. It rather hides too much
 * than too little. Every pass advances over what it has read, so that hostile input costs linear time.
 */

import { isScriptFlag, isShell } from './command-words.ts';
import { findKnownTokens, findLongTokens, findPrivateKeyBlocks } from './mask-tokens.ts';
import { findPairs } from './mask-pairs.ts';
import { isSecretName } from './mask-names.ts';
import { maskScript } from './mask-script.ts';
import { shownUnits } from './mask-programs.ts';
import { hide, MASK } from './mask-span.ts';
import type { Span } from './mask-span.ts';

export { MASK };

/**
 * The words of a command with the secrets among them hidden; the same number of words.
 * Short flags such as `-p VALUE` are not guessed: their meaning differs from program to program. mask-programs.ts knows a few.
 */
export function maskArguments(argv: readonly string[]): string[] {
  const masked: string[] = [];
  const shown = shownUnits(argv);
  let hideNext = false;
  let isOfShell = false;
  for (const [index, word] of argv.entries()) {
    isOfShell ||= isShell(argv[index - 1] ?? '');
    if (hideNext && !looksLikeFlag(word)) {
      masked.push(MASK);
      // `Authorization: Bearer abc` that was split at its spaces: the scheme announces the secret.
      hideNext = isAuthScheme(word);
      continue;
    }
    const units = shown[index] ?? null;
    const isScript = isOfShell && isScriptFlag(argv[index - 1] ?? '');
    masked.push(units === null ? maskWord(isScript ? maskScript(word) : word) : `${word.slice(0, units)}${MASK}`);
    hideNext = announcesSecret(word);
  }
  return masked;
}

const SHORT_MOST = 1_000;
/** Of a secret whose end was not read so much may be left at the end; longer beginnings are recognised. */
const UNSURE_UNITS = 512;

/** What a server or library says, kept short for records: cut with an ellipsis. */
export function maskShort(text: string): string {
  const whole = maskBeginning(text, SHORT_MOST + 1);
  return whole.length <= SHORT_MOST && text.length <= unitsRead(SHORT_MOST + 1)
    ? whole
    : `${whole.slice(0, SHORT_MOST)}…`;
}

/**
 * The beginning of a text of which there may be no end, with its secrets hidden: at most so many UTF-16 units. It is cut after
 * that, and what lies at the end of what was read is left out, so that no half secret passes.
 */
export function maskBeginning(text: string, mostUnits: number): string {
  const read = text.slice(0, unitsRead(mostUnits));
  const masked = maskText(read);
  const sureUnits = read.length < text.length ? Math.max(0, masked.length - UNSURE_UNITS) : masked.length;
  return masked.slice(0, Math.min(mostUnits, sureUnits));
}

/** The same on one line, for names on records and terminals: what a terminal would obey is a space. */
export function maskLabel(text: string, mostUnits: number): string {
  // A character of two units becomes one.
  const enough = text.slice(0, 2 * (unitsRead(mostUnits) + 1));
  return maskBeginning(enough.replaceAll(/\p{C}/gu, ' '), mostUnits);
}

/** Beyond what is kept: secrets may be most of it. */
function unitsRead(mostUnits: number): number {
  return 4 * mostUnits + UNSURE_UNITS;
}

/** Free text with its secrets hidden: `name=value`, `name: value`, `--name value`, URLs with userinfo, known tokens. */
export function maskText(text: string): string {
  let result = hide(text, findPrivateKeyBlocks(text));
  result = hide(result, findUserinfo(result));
  result = hide(result, findPairs(result));
  result = hide(result, findKnownTokens(result));
  return hide(result, findLongTokens(result));
}

/** One word of a command. Unlike in free text, the value of `--name=…` goes to the end of the word, spaces included. */
function maskWord(given: string): string {
  // First: a password may hold what looks like the end of a name.
  const word = hide(given, findUserinfo(given));
  const header = /^([-\w.]+):\s*(?=\S)/.exec(word);
  if (header?.[1] !== undefined && isSecretName(header[1])) return `${header[0]}${MASK}`;
  for (let equals = word.indexOf('='), start = 0; equals !== -1; equals = word.indexOf('=', start)) {
    const name = word.slice(start, equals);
    if (isSecretName(name)) return `${maskText(word.slice(0, equals))}=${MASK}`;
    if (!/^[-\w.]+$/.test(name)) break;
    start = equals + 1;
  }
  return maskText(word);
}

function announcesSecret(word: string): boolean {
  if (isAuthScheme(word)) return true;
  if (/^--?[\w.-]{2,}$/.test(word)) return isSecretName(word);
  return /^[\w-]+:$/.test(word) && isSecretName(word);
}

function isAuthScheme(word: string): boolean {
  return /^(bearer|basic)$/i.test(word);
}

function looksLikeFlag(word: string): boolean {
  return /^--?[A-Za-z][\w-]*(=|$)/.test(word) && word.length <= 64;
}

const USERINFO_SCAN_UNITS = 512;

/** The part between `://` and `@` (RFC 3986 section 3.2.1). */
function findUserinfo(text: string): Span[] {
  const spans: Span[] = [];
  let from = 0;
  for (let at = text.indexOf('://', from); at !== -1; at = text.indexOf('://', from)) {
    const start = at + 3;
    const window = text.slice(start, start + USERINFO_SCAN_UNITS);
    const authority = /^[^/?#\s"'`<>]*/.exec(window)?.[0] ?? '';
    // A password may hold a raw slash, against the RFC: then what looks like the port is no number.
    const broken = !authority.includes('@') && /^(?!\[)[^:]*:(?!\d{0,5}$)/.test(authority);
    const end = (broken ? (/^[^\s"'`<>]*/.exec(window)?.[0] ?? '') : authority).lastIndexOf('@');
    if (end > 0) spans.push({ start, end: start + end });
    from = end > 0 ? start + end : start;
  }
  return spans;
}
