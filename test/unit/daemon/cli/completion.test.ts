import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import t from 'tap';
import { governor, temporaryFolder } from './harness.ts';

function missing(shell: string): string | false {
  return spawnSync(shell, ['-c', 'exit']).error === undefined ? false : `${shell} is not installed here`;
}

/** A folder with the script, and a `governor` that knows two tools. */
async function prepare(
  t: { teardown(action: () => void): void },
  shell: string,
): Promise<{ script: string; env: NodeJS.ProcessEnv }> {
  const folder = temporaryFolder(t);
  const { out } = await governor(['completion', shell]);
  writeFileSync(join(folder, 'script'), out);
  writeFileSync(
    join(folder, 'governor'),
    `#!/bin/sh\ncase "$*" in *complete-names) printf '%s\\n' everything "file's tool" ;; esac\n`,
  );
  chmodSync(join(folder, 'governor'), 0o755);
  return {
    script: join(folder, 'script'),
    env: { ...process.env, HOME: folder, PATH: `${folder}${delimiter}${process.env['PATH'] ?? ''}` },
  };
}

/** What is typed, the last word being completed, and what must and must not be offered. */
const CASES: readonly {
  readonly words: readonly string[];
  readonly has: readonly string[];
  readonly hasNot: readonly string[];
}[] = [
  {
    words: [''],
    has: ['ls', 'ps', 'run', 'history', 'audit', 'daemon', 'doctor'],
    hasNot: ['show', 'ensure-daemon', 'complete-names', 'help'],
  },
  { words: ['st'], has: ['start', 'stop'], hasNot: ['restart', 'ls'] },
  { words: ['ls', '--'], has: ['--verbose', '--json', '--state-dir'], hasNot: ['--follow'] },
  { words: ['ps', '--v'], has: ['--verbose'], hasNot: ['--json'] },
  { words: ['audit', ''], has: ['show', 'verify', 'export'], hasNot: ['ls', 'everything'] },
  { words: ['audit', 'show', '--'], has: ['--since', '--kind'], hasNot: ['--format'] },
  { words: ['audit', 'show', '--kind', 'c'], has: ['cleanup'], hasNot: ['stage'] },
  { words: ['audit', 'export', '--format', ''], has: ['jsonl', 'csv'], hasNot: ['everything'] },
  { words: ['usage', 'ev'], has: ['everything'], hasNot: ['ls'] },
  { words: ['--state-dir', '/tmp', 'usage', 'ev'], has: ['everything'], hasNot: [] },
  { words: ['daemon', ''], has: ['stop'], hasNot: ['everything'] },
  { words: ['daemon', 'stop', '--'], has: ['--all'], hasNot: ['--verbose'] },
  { words: ['run', '--m'], has: ['--memory'], hasNot: ['--cpu'] },
  { words: ['run', '--name', 'ev'], has: ['everything'], hasNot: [] },
  { words: ['completion', ''], has: ['bash', 'zsh', 'fish'], hasNot: ['everything'] },
];

function compare(t: Tap, offered: readonly string[], { words, has, hasNot }: (typeof CASES)[number]): void {
  const typed = `governor ${words.join(' ')}`;
  for (const word of has) t.ok(offered.includes(word), `${typed} offers ${word}: ${offered.join(' ')}`);
  for (const word of hasNot) t.notOk(offered.includes(word), `${typed} does not offer ${word}`);
}

interface Tap {
  ok(value: unknown, message: string): unknown;
  notOk(value: unknown, message: string): unknown;
}

t.test('bash', { skip: missing('bash') }, async (t) => {
  const { script, env } = await prepare(t, 'bash');
  const complete = (words: readonly string[]): readonly string[] => {
    const line = 'source "$0"; COMP_WORDS=(governor "$@"); COMP_CWORD=$#; _governor; printf "%s\\n" "${COMPREPLY[@]}"';
    const shell = spawnSync('bash', ['-c', line, script, ...words], { encoding: 'utf8', env });
    t.equal(shell.stderr, '');
    return shell.stdout.split('\n');
  };
  for (const example of CASES) compare(t, complete(example.words), example);
  t.ok(
    complete(['usage', 'fi']).includes(String.raw`file\'s\ tool`),
    'a name with a space and a quote is written as a shell takes it',
  );
  t.ok(complete(['run', 'mkf']).includes('mkfifo'), 'commands of the system');
  t.notOk(complete(['run', '--', 'ls', '--st']).includes('--state-dir'), 'the options of the command are its own');
});

t.test('fish', { skip: missing('fish') }, async (t) => {
  const { script, env } = await prepare(t, 'fish');
  const complete = (words: readonly string[]): readonly string[] => {
    const shell = spawnSync(
      'fish',
      ['-c', 'source $argv[1]; complete -C "governor $argv[2]"', script, words.join(' ')],
      { encoding: 'utf8', env },
    );
    t.equal(shell.stderr, '');
    return shell.stdout.split('\n').map((line) => line.split('\t')[0] ?? '');
  };
  for (const example of CASES) compare(t, complete(example.words), example);
});

t.test('zsh', { skip: missing('zsh') }, async (t) => {
  const { script, env } = await prepare(t, 'zsh');
  t.match(spawnSync('zsh', ['-n', script], { encoding: 'utf8', env }), { status: 0, stderr: /^$/ });
  // The builtins of its completion system exist only inside the line editor: here they print what they are given.
  const stubs = `compdef() { : }
    _arguments() { print -rl -- "$@"; state=$want; line=($rest); want= rest=; }
    _describe() { print -rl -- "\${(@P)2}"; }
    compadd() { print -rl -- "\${(@P)2}"; }
    source "$1"; want=$2 rest=$3; shift 3; "$@"`;
  const offers = (want: string, line: string, ...call: string[]): readonly string[] => {
    const shell = spawnSync('zsh', ['-f', '-c', stubs, 'zsh', script, want, line, ...call], { encoding: 'utf8', env });
    t.equal(shell.stderr, '');
    return shell.stdout.split('\n').map((text) => text.replace(/^\(.*?\)/, '').replace(/[:=[].*$/, ''));
  };
  t.same(offers('', '', '_governor_tools'), ['everything', "file's tool", '']);
  const top = offers('command', '', '_governor');
  for (const name of ['ls', 'ps', 'audit', 'run', '--json']) t.ok(top.includes(name), `governor offers ${name}`);
  t.notOk(top.includes('ensure-daemon'));
  const audit = offers('command', '', '_governor_at', 'audit');
  for (const name of ['show', 'verify', 'export']) t.ok(audit.includes(name), `governor audit offers ${name}`);
  t.notOk(audit.includes('ls'));
  t.ok(offers('rest', 'stop', '_governor_at', 'daemon').includes('--all'), 'governor daemon stop offers --all');
  t.ok(offers('', '', '_governor_at', 'ps').includes('--verbose'), 'an alias is its command');
});
