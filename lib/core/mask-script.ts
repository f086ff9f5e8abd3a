/** Hides in a shell script what among the words of a command would be hidden: values of variables, `user:password`. */

import { ASSIGNMENT, shownUnits } from './mask-programs.ts';
import { hide } from './mask-span.ts';

/** @param script the word after `-c` of a shell */
export function maskScript(script: string): string {
  const words = scriptWords(script);
  const shown = shownUnits(words.map(({ text }) => text));
  return hide(
    script,
    words.flatMap(({ start, text }, index) => {
      // Whatever looks like a variable may be one: `A=b cmd`, `export A=b`.
      const units = shown[index] ?? ASSIGNMENT.exec(text)?.[0].length ?? null;
      return units === null || units >= text.length ? [] : [{ start: start + units, end: start + text.length }];
    }),
  );
}

interface ScriptWord {
  /** Where the text begins in the script. */
  readonly start: number;
  /** As it is written, without quotes around it. */
  readonly text: string;
}

/** Words of all commands in a row: a name before a `;` then still counts after it, which hides too much rather than too little. */
function scriptWords(script: string): readonly ScriptWord[] {
  const words: ScriptWord[] = [];
  let start = -1;
  let quote: string | null = null;
  for (let index = 0; index <= script.length; index++) {
    const unit = script[index] ?? '\n';
    const isEnd = index === script.length || (quote === null && /[\s;&|()]/.test(unit));
    if (isEnd) {
      if (start !== -1) words.push(unquoted(script, start, index));
      start = -1;
      continue;
    }
    if (start === -1) start = index;
    if (unit === '\\' && quote !== "'") index++;
    else if (quote === unit) quote = null;
    else if (quote === null && (unit === '"' || unit === "'")) quote = unit;
  }
  return words;
}

function unquoted(script: string, start: number, end: number): ScriptWord {
  const first = script[start] ?? '';
  if (first !== '"' && first !== "'") return { start, text: script.slice(start, end) };
  const isClosed = end - start > 1 && script[end - 1] === first;
  return { start: start + 1, text: script.slice(start + 1, isClosed ? end - 1 : end) };
}
