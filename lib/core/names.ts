/** Names of tools: what is allowed, and a sensible one for a command that was given none. */

import { commandWords } from './command-words.ts';
import { packageOf } from './command-package.ts';
import { err, ok } from './result.ts';
import type { Result } from './result.ts';

export const MAX_NAME_CHARACTERS = 64;

/** The rule, for people. */
export const NAME_RULE = `a tool name has 1 to ${MAX_NAME_CHARACTERS} characters: letters, digits, marks, spaces and . _ - @ + : ' " ( )`;

const ALLOWED = /^[\p{L}\p{M}\p{Nd} ._\-@+:'"()]$/u;

/**
 * The name in Unicode normalisation form C, or what is wrong with it. Characters are code points. No `/` (it separates
 * a tool from its run), no control, format or bidi characters, no space or dot at the ends.
 */
export function parseToolName(raw: string): Result<string, string> {
  if (raw === '') return refuse('it is empty');
  // Composing joins a few code units to one character, never sixteen: this is too long in any form, so do not normalise it.
  if (raw.length > MAX_NAME_CHARACTERS * 16) return refuse(`this one has more than ${MAX_NAME_CHARACTERS} characters`);
  const name = raw.normalize('NFC');
  const characters = Array.from(name);
  const wrong = characters.findIndex((character) => !ALLOWED.test(character));
  if (wrong !== -1) return refuse(`${show(characters[wrong] ?? '')} at character ${wrong + 1} is not allowed`);
  if (characters.length > MAX_NAME_CHARACTERS) return refuse(`this one has ${characters.length} characters`);
  const edge = /^[ .]/.exec(name) ?? /[ .]$/.exec(name);
  if (edge !== null) {
    const place = edge.index === 0 ? 'start' : 'end';
    return refuse(
      `it must not ${place} with ${edge[0] === ' ' ? 'a space' : 'a dot'} (character ${place === 'start' ? 1 : characters.length})`,
    );
  }
  return ok(name);
}

/** A valid name for a command: the package, script, module or image that it is about, else the program. */
export function nameFromCommand(command: string, args: readonly string[]): string {
  const words = commandWords(command, args);
  return sanitise(packageOf(words)) || sanitise(basename(command)) || 'tool';
}

function sanitise(raw: string): string {
  const characters = Array.from(raw.slice(0, 1024).normalize('NFC')).map((character) =>
    ALLOWED.test(character) ? character : '-',
  );
  const name = trimEnds(characters.slice(0, MAX_NAME_CHARACTERS).join(''));
  return /[\p{L}\p{Nd}]/u.test(name) ? name : '';
}

function trimEnds(name: string): string {
  return name.replace(/^[ .-]+/, '').replace(/[ .-]{1,64}$/, '');
}

function basename(path: string): string {
  return path.split(/[/\\]/).at(-1) ?? path;
}

function refuse(what: string): Result<string, string> {
  return err(`${NAME_RULE}; ${what}`);
}

function show(character: string): string {
  const code = `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
  return /^[\p{L}\p{N}\p{P}\p{S}]$/u.test(character) ? `"${character}"` : code;
}
