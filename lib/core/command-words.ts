/** Looks through what is put in front of a program: `env X=1`, `sudo -u me`, `nice -n 5`, `sh -c '…'`. Pure text. */

/** Program first. Empty only for an empty command. */
export type Words = readonly string[];

/**
 * The words of the program that a command is about. Of a `sh -c` script with several commands the last one counts:
 * what comes before it usually prepares (`cd /srv && exec node server.js`).
 */
export function commandWords(command: string, args: readonly string[]): Words {
  return simpleCommands(command, args).at(-1) ?? [command];
}

/** Every simple command that a command runs, prefixes removed. */
export function simpleCommands(command: string, args: readonly string[]): readonly Words[] {
  return expand([command, ...args], 0);
}

/** Program name of a path: no folder, no `.exe`, lower case. */
export function programName(word: string): string {
  return (word.split(/[/\\]/).at(-1) ?? word).toLowerCase().replace(/\.(exe|cmd|bat)$/, '');
}

/** Shells in shells in shells: nobody writes more. */
const MAX_DEPTH = 4;
const SHELLS: ReadonlySet<string> = new Set(['sh', 'bash', 'dash', 'zsh', 'ash', 'ksh', 'busybox']);

export function isShell(word: string): boolean {
  return SHELLS.has(programName(word));
}

/** Of a shell: the next word is a script. */
export function isScriptFlag(word: string): boolean {
  return /^-[a-z]*c$/.test(word);
}

function expand(all: Words, depth: number): readonly Words[] {
  const words = withoutPrefixes(all);
  const script = scriptOf(words);
  if (script === null || depth >= MAX_DEPTH) return words.length === 0 ? [] : [words];
  return splitScript(script).flatMap((part) => expand(part, depth + 1));
}

/** The argument of `-c` (also `-lc`, `-ec`) of a shell, or null. */
function scriptOf(words: Words): string | null {
  if (!isShell(words[0] ?? '')) return null;
  const flag = words.findIndex((word, index) => index > 0 && isScriptFlag(word));
  return flag === -1 ? null : (words[flag + 1] ?? null);
}

/** Programs that start another one, with those of their flags that take a value in the next word. */
const PREFIXES: Readonly<Record<string, { readonly valued: readonly string[]; readonly operands: number }>> = {
  env: { valued: ['-u', '--unset', '-C', '--chdir'], operands: 0 },
  sudo: {
    valued: [
      '-u',
      '--user',
      '-g',
      '--group',
      '-h',
      '--host',
      '-p',
      '--prompt',
      '-C',
      '-D',
      '--chdir',
      '-T',
      '-R',
      '-r',
      '-t',
    ],
    operands: 0,
  },
  doas: { valued: ['-u', '-C'], operands: 0 },
  nice: { valued: ['-n', '--adjustment'], operands: 0 },
  ionice: { valued: ['-c', '--class', '-n', '--classdata'], operands: 0 },
  chrt: { valued: ['-T', '-P', '-D'], operands: 1 },
  taskset: { valued: [], operands: 1 },
  timeout: { valued: ['-k', '--kill-after', '-s', '--signal'], operands: 1 },
  stdbuf: { valued: ['-i', '-o', '-e', '--input', '--output', '--error'], operands: 0 },
  nohup: { valued: [], operands: 0 },
  setsid: { valued: [], operands: 0 },
  setpriv: { valued: [], operands: 0 },
  time: { valued: ['-f', '-o'], operands: 0 },
  exec: { valued: ['-a'], operands: 0 },
  command: { valued: [], operands: 0 },
};

function withoutPrefixes(all: Words): Words {
  let words = all;
  for (;;) {
    const assignments = words.findIndex((word) => !/^[A-Za-z_]\w*=/.test(word));
    words = assignments === -1 ? [] : words.slice(assignments);
    const name = programName(words[0] ?? '');
    const prefix = Object.hasOwn(PREFIXES, name) ? PREFIXES[name] : undefined;
    if (prefix === undefined) return words;
    const rest = afterFlags(words.slice(1), prefix.valued).slice(prefix.operands);
    // `env` or `sudo -l` alone start nothing.
    if (rest.length === 0) return words;
    words = rest;
  }
}

/** The words after leading flags; `--` ends them. */
export function afterFlags(words: Words, valued: readonly string[]): Words {
  let index = 0;
  for (; index < words.length; index++) {
    const word = words[index] ?? '';
    if (word === '--') return words.slice(index + 1);
    if (!word.startsWith('-') || word === '-') break;
    if (valued.includes(word)) index++;
  }
  return words.slice(index);
}

/** Simple commands of a shell script, quotes removed; no expansion. `;`, `&`, `|`, parentheses and newlines separate. */
function splitScript(script: string): readonly Words[] {
  const commands: string[][] = [[]];
  let word: string | null = null;
  let quote: string | null = null;
  for (let index = 0; index < script.length; index++) {
    const unit = script[index] ?? '';
    if (quote !== null) {
      if (unit === quote) quote = null;
      else if (unit === '\\' && quote === '"') word = (word ?? '') + (script[++index] ?? '');
      else word = (word ?? '') + unit;
    } else if (unit === '"' || unit === "'") {
      quote = unit;
      word ??= '';
    } else if (unit === '\\') {
      const next = script[++index] ?? '';
      if (next !== '\n') word = (word ?? '') + next;
    } else if (/[\s;&|(){}]/.test(unit)) {
      if (word !== null) commands.at(-1)?.push(word);
      word = null;
      if (/[\n;&|(){}]/.test(unit) && commands.at(-1)?.length !== 0) commands.push([]);
    } else word = (word ?? '') + unit;
  }
  if (word !== null) commands.at(-1)?.push(word);
  return commands.filter((words) => words.length > 0);
}
