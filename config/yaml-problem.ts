/** What the YAML parser says, in the words of this project. */

import type { YAMLError } from 'yaml';
import type { Problem, Where } from '../lib/core/errors.ts';

export function yamlProblem(error: YAMLError, source: string, whereOf: (offset: number) => Where): Problem {
  const [start] = error.pos;
  const [message, hint] = sentence(error, source);
  return { where: whereOf(Math.min(start, source.length)), message, ...(hint === undefined ? {} : { hint }) };
}

function sentence(error: YAMLError, source: string): [string, string?] {
  const code = error.code;
  if (/call stack/i.test(error.message)) return ['is nested too deeply'];
  if (code === 'TAB_AS_INDENT' || startsWithTab(source, error.pos[0]))
    return ['a tab is used for indentation', 'use spaces'];
  switch (code) {
    case 'MULTIPLE_DOCS':
      return ['the file has more than one document', 'keep one and take the --- lines out'];
    case 'TAG_RESOLVE_FAILED':
      return ['tags (!name) are not supported', 'write the value without it'];
    case 'BAD_ALIAS':
      return ['an alias (*name) is not possible like this', 'quote text that begins with * or &'];
    case 'BLOCK_AS_IMPLICIT_KEY':
      return ['a mapping cannot begin here', 'one key a line; quote text that has ": " in it'];
    case 'BAD_DIRECTIVE':
      return ['directives (%NAME) are not supported', 'take the line out'];
    case 'BAD_INDENT':
      if (error.message.startsWith('Flow'))
        return [
          'a [ or { above is not closed, or what is in it is not indented',
          'close it, and indent every line of it',
        ];
      return ['the indentation does not fit the lines above', 'keys of one mapping begin in the same column'];
    case 'MISSING_CHAR':
      return [`not valid YAML: ${plain(error.message)}`, 'look for a missing colon, quote or bracket'];
    default:
      // An open list of a dependency: its own words are the best there are.
      return [`not valid YAML: ${plain(error.message)}`];
  }
}

/** Tabs at the start of a line are reported by the parser under several codes. */
function startsWithTab(source: string, offset: number): boolean {
  const lineStart = source.lastIndexOf('\n', Math.max(0, offset - 1)) + 1;
  return /^ *\t/.test(source.slice(lineStart, lineStart + 200));
}

function plain(message: string): string {
  const line = message.split('\n', 1)[0] ?? message;
  return line.charAt(0).toLowerCase() + line.slice(1);
}
