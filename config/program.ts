/** Mistakes in what to start that no type can tell. */

import { quote, word } from './notation.ts';

/** A whole command line in `command` is looked up as one file name with spaces in it, and not found. */
export function programProblem(fields: {
  readonly command: string;
  readonly args?: readonly string[] | undefined;
}): { readonly message: string; readonly hint: string } | null {
  const [program = '', ...rest] = fields.command.trim().split(/\s+/);
  if (rest.length === 0 || fields.args !== undefined || program.includes('/')) return null;
  // Not shown: arguments may hold secrets.
  return {
    message: 'command: looks like a whole command line',
    hint: `write command: ${word(program)} and the other words in args: [ … ]`,
  };
}

/** Variables that Governor itself sets for every run. */
const RESERVED = /^(TMPDIR|GOVERNOR_.*|MEMORY_PRESSURE_(WATCH|WRITE))$/;

export function environmentProblems(
  env: Readonly<Record<string, string>>,
): readonly { readonly key: string; readonly message: string; readonly hint: string }[] {
  return Object.keys(env).flatMap((key) => {
    if (key === '' || /[=\0]/.test(key)) {
      return [
        {
          key,
          message: `env: ${quote(key)} is not possible as a name`,
          hint: 'a name is not empty and has no = in it',
        },
      ];
    }
    if (RESERVED.test(key)) return [{ key, message: `env: ${key} is set by Governor`, hint: 'take it out' }];
    return [];
  });
}
