/** Reads the command lines of container engines: which subcommand, on which image, container or service. */

import { afterFlags, programName } from './command-words.ts';
import type { Words } from './command-words.ts';

export interface ContainerCommand {
  readonly engine: string;
  readonly verb: 'run' | 'exec' | 'compose';
  /** Image for run, container for exec, service for compose. May be empty. */
  readonly subject: string;
}

const ENGINES: ReadonlySet<string> = new Set(['docker', 'podman', 'nerdctl', 'docker-compose', 'podman-compose']);

/** Flags before the subcommand that take their value in the next word. */
const GLOBAL_VALUED = [
  '-H',
  '--host',
  '--context',
  '-c',
  '--config',
  '-l',
  '--log-level',
  '--tlscacert',
  '--tlscert',
  '--tlskey',
  '--connection',
  '--url',
  '--root',
  '--runroot',
  '--runtime',
  '--storage-driver',
  '--identity',
  '-n',
  '--namespace',
  '-a',
  '--address',
  '--data-root',
  '--cgroup-manager',
  '--events-backend',
];
const COMPOSE_VALUED = [
  '-f',
  '--file',
  '-p',
  '--project-name',
  '--profile',
  '--env-file',
  '--project-directory',
  '--ansi',
  '--parallel',
  '--progress',
];

/** null: not a container engine, or a subcommand that runs nothing (`docker ps`). */
export function containerCommand(words: Words): ContainerCommand | null {
  const engine = programName(words[0] ?? '');
  if (!ENGINES.has(engine)) return null;
  if (engine.endsWith('-compose')) return composeCommand(engine, words.slice(1));
  const [verb = '', ...rest] = afterFlags(words.slice(1), GLOBAL_VALUED);
  if (verb === 'compose') return composeCommand(engine, rest);
  if (verb === 'container') return engineCommand(engine, rest[0] ?? '', rest.slice(1));
  return engineCommand(engine, verb, rest);
}

function engineCommand(engine: string, verb: string, rest: Words): ContainerCommand | null {
  if (verb === 'run' || verb === 'create') return { engine, verb: 'run', subject: operand(rest) };
  if (verb === 'exec' || verb === 'attach' || verb === 'start') return { engine, verb: 'exec', subject: operand(rest) };
  return null;
}

function composeCommand(engine: string, words: Words): ContainerCommand | null {
  const [verb = '', ...rest] = afterFlags(words, COMPOSE_VALUED);
  if (!['run', 'exec', 'up', 'start', 'attach'].includes(verb)) return null;
  return { engine, verb: 'compose', subject: operand(rest) };
}

/**
 * Flags of run and exec without a value (docker-run(1), podman-run(1), docker-exec(1)); every other long flag without
 * `=` takes the next word. Short ones may be bundled: `-it`, `-dit`.
 */
const BOOLEAN = new Set([
  '--rm',
  '--interactive',
  '--tty',
  '--detach',
  '--init',
  '--privileged',
  '--read-only',
  '--publish-all',
  '--no-healthcheck',
  '--oom-kill-disable',
  '--quiet',
  '--sig-proxy',
  '--disable-content-trust',
  '--replace',
  '--env-host',
  '--http-proxy',
  '--no-hosts',
  '--no-deps',
  '--service-ports',
  '--use-aliases',
  '--build',
  '--remove-orphans',
  '--no-TTY',
  '--use-api-socket',
  '--latest',
  '--tls-verify',
  '--rmi',
  '--help',
  '--passwd',
  '--systemd',
  '--no-start',
  '--force-recreate',
]);
const SHORT_BOOLEAN = /^-[itdPqTl]+$/;

/** The first word that is neither a flag nor the value of one. */
function operand(words: Words): string {
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? '';
    if (word === '--') return words[index + 1] ?? '';
    if (!word.startsWith('-')) return word;
    if (word.startsWith('--') ? word.includes('=') || BOOLEAN.has(word) : SHORT_BOOLEAN.test(word)) continue;
    // `-eX=1` and `-v/a:/b` carry their value; `-ie X=1` and `-e X=1` do not.
    if (word.startsWith('--') || /^-[itdPqTl]*[a-zA-Z]$/.test(word)) index++;
  }
  return '';
}
