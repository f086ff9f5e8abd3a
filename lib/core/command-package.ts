/** What a command is about: the package of `npx`, the script of `node`, the module of `python -m`, the image of `docker run`. */

import { afterFlags, programName } from './command-words.ts';
import type { Words } from './command-words.ts';
import { containerCommand } from './container-command.ts';

/** A short name, not yet checked against the rule for names. */
export function packageOf(words: Words): string {
  const program = programName(words[0] ?? '');
  const container = containerCommand(words);
  if (container !== null) return imageName(container.subject) || program;
  for (const { programs, name } of RUNNERS) {
    if (programs.test(program)) return name(words.slice(1), program) || program;
  }
  return stem(words[0] ?? '');
}

interface Runner {
  readonly programs: RegExp;
  /** Empty where the words do not say. */
  readonly name: (args: Words, program: string) => string;
}

const RUNNERS: readonly Runner[] = [
  { programs: /^(npx|bunx|pnpx)$/, name: fromPackageRunner },
  { programs: /^npm$/, name: (args) => (/^(exec|x)$/.test(args[0] ?? '') ? fromPackageRunner(args.slice(1)) : '') },
  {
    programs: /^(pnpm|yarn)$/,
    name: (args) => (/^(dlx|exec)$/.test(args[0] ?? '') ? fromPackageRunner(args.slice(1)) : ''),
  },
  { programs: /^uvx$/, name: fromUvx },
  { programs: /^pipx$/, name: (args) => (args[0] === 'run' ? fromUvx(args.slice(1)) : '') },
  { programs: /^uv$/, name: fromUv },
  { programs: /^(pypy|python)[\d.]*w?$/, name: fromPython },
  { programs: /^(node|nodejs|tsx|ts-node)$/, name: fromScript },
  {
    programs: /^(deno|bun|go|cargo)$/,
    name: (args) => (args[0] === 'run' ? fromScript(args.slice(1)) : fromScript(args)),
  },
  { programs: /^java$/, name: fromJava },
  { programs: /^(ruby|perl|php|rscript|lua|dotnet|sh|bash|dash|zsh|ash)$/, name: fromScript },
];

function fromPackageRunner(args: Words): string {
  return packageName(
    afterFlags(args, ['-p', '--package', '-w', '--workspace', '--cache', '--registry', '--userconfig'])[0] ?? '',
  );
}

function fromUvx(args: Words): string {
  const valued = ['--from', '--with', '--python', '-p', '--spec', '--index-url', '-i', '--index', '--directory'];
  return packageName(afterFlags(args, valued)[0] ?? '');
}

function fromUv(args: Words): string {
  const global = afterFlags(args, ['--directory', '--project', '--config-file', '--cache-dir']);
  if (global[0] === 'tool' && global[1] === 'run') return fromUvx(global.slice(2));
  if (global[0] !== 'run') return '';
  const rest = afterFlags(global.slice(1), [
    '--directory',
    '--project',
    '--with',
    '--python',
    '-p',
    '--extra',
    '--group',
    '--env-file',
    '-m',
    '--module',
  ]);
  const asModule = valueOf(global.slice(1), ['-m', '--module']);
  if (asModule !== null) return asModule;
  const [first = ''] = rest;
  return programName(first).startsWith('python') ? fromPython(rest.slice(1)) : stem(first);
}

function fromPython(args: Words): string {
  const flags = args.findIndex((word) => !word.startsWith('-'));
  const asModule = valueOf(flags === -1 ? args : args.slice(0, flags), ['-m'], args);
  return asModule ?? stem(afterFlags(args, ['-c', '-W', '-X', '-Q'])[0] ?? '');
}

function fromJava(args: Words): string {
  return stem(
    valueOf(args, ['-jar']) ?? afterFlags(args, ['-cp', '-classpath', '--class-path', '-p', '--module-path'])[0] ?? '',
  );
}

function fromScript(args: Words): string {
  const inline = ['-e', '--eval', '-p', '--print'];
  if (inline.includes(args[0] ?? '')) return '';
  return stem(
    afterFlags(args, [
      '-r',
      '--require',
      '--import',
      '--loader',
      '--experimental-loader',
      '--env-file',
      '-C',
      '--conditions',
      '-e',
      '-p',
      '-c',
      '-o',
    ])[0] ?? '',
  );
}

function valueOf(args: Words, flags: readonly string[], all: Words = args): string | null {
  const index = args.findIndex((word) => flags.includes(word));
  return index === -1 ? null : (all[index + 1] ?? null);
}

/** `@scope/server-x@1.2` → `server-x`, `mcp-server==1.0[extra]` → `mcp-server`, `github:user/repo#main` → `repo`. */
function packageName(specification: string): string {
  const path = specification.replace(/^(git\+)?[a-z]+:(\/\/)?/, '').replace(/#.*$/s, '');
  const last = path.split('/').findLast((part) => part !== '') ?? '';
  return last
    .replace(/\.(git|tgz|whl)$/, '')
    .replace(/^(.[^@=<>~![;]*).*$/s, '$1')
    .trim();
}

/** `ghcr.io/x/y:tag@sha256:…` → `y`. */
function imageName(image: string): string {
  return (image.split('@')[0] ?? '').split('/').at(-1)?.split(':')[0] ?? '';
}

const GENERIC_FILE = /^(index|main|__main__|cli)$/;
const GENERIC_FOLDER = /^(dist|build|src|lib|bin|out|esm|cjs|\.{1,2}|)$/;

/** File name without folder and script extension; of an `index.js` the nearest folder that says more. */
function stem(path: string): string {
  const parts = path.split(/[/\\]/);
  const file = (parts.pop() ?? '').replace(
    /(.)\.(js|mjs|cjs|ts|mts|cts|tsx|jsx|py|pyz|rb|pl|php|sh|jar|dll|exe|cmd|lua|r|go)$/i,
    '$1',
  );
  if (!GENERIC_FILE.test(file)) return file;
  return parts.findLast((part) => !GENERIC_FOLDER.test(part) && !/^[A-Za-z]:$/.test(part)) ?? file;
}
