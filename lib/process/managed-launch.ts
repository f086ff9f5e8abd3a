/**
 * Starts a tool whose stdio the daemon holds. The child is a shell that waits at a gate (descriptor 3) and then becomes
 * the tool by exec, so that it can be put into its containment, and its limits are set, before its first instruction.
 */

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { GovernorError } from '../core/errors.ts';
import { exitInfo } from './exit.ts';
import type { ExitInfo } from './exit.ts';
import { needsEnvironmentFile } from './launcher-answer.ts';

// `read` fails at end of file: a daemon that dies before opening the gate leaves nothing behind.
const GATE = 'IFS= read -r _g_limit <&3 || exit 125; case $_g_limit in "") ;; *) ulimit -n "$_g_limit" ;; esac;';
const BECOME_THE_TOOL = `${GATE} exec 3<&-; exec "$@"`;

// dash drops variables whose names are no identifiers. The environment then comes through the gate too, as NUL-separated
// text, and perl sets it: as words everyone on the host could read it.
const SET_ENVIRONMENT = [
  'open(my $gate, "<&=3") or die "governor: $!\\n";',
  'local $/; my $all = <$gate>; close($gate);',
  '%ENV = map { split /=/, $_, 2 } split /\\0/, $all;',
  '{ exec { $ARGV[0] } @ARGV };',
  'my $error = $! + 0; print STDERR "governor: $ARGV[0]: $!\\n"; exit($error == 2 ? 127 : 126)',
].join(' ');
const BECOME_IT_BY_PERL = `${GATE} exec perl -e '${SET_ENVIRONMENT}' "$@"`;

export interface ManagedLaunch {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Words in front of the command, once the containment is known. */
  readonly prefix: readonly string[];
}

export interface ManagedProcess {
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves once, when the leader has ended and its status is known. */
  readonly exited: Promise<ExitInfo>;
  /** @param openFiles cap for open files, or null to leave them as they are */
  openGate(openFiles: number | null): void;
  /** What still waits at the gate ends with code 125; without effect once it was opened. */
  closeGate(): void;
}

/** @throws GovernorError launch_failed when the shell itself cannot start (no memory, no processes, no such cwd) */
export async function launchManaged(request: ManagedLaunch): Promise<ManagedProcess> {
  const environment = Object.entries(request.environment).map(([name, value]) => `${name}=${value}`);
  const byPerl = needsEnvironmentFile(environment);
  const child: ChildProcess = spawn(
    '/bin/sh',
    [
      '-c',
      byPerl ? BECOME_IT_BY_PERL : BECOME_THE_TOOL,
      'governor-gate',
      ...request.prefix,
      request.command,
      ...request.args,
    ],
    {
      cwd: request.cwd,
      env: request.environment,
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
      // A session of its own: a Ctrl-C at the daemon's terminal must reach the tool in order, through its cleanup.
      detached: true,
    },
  );
  const exited = new Promise<ExitInfo>((resolve) => {
    child.once('exit', (code, signal) => resolve(exitInfo(code, signal)));
  });
  try {
    await once(child, 'spawn');
  } catch (error) {
    throw new GovernorError('launch_failed', `cannot start in ${request.cwd}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const [stdin, stdout, stderr, gate] = child.stdio;
  if (child.pid === undefined || stdin == null || stdout == null || stderr == null || gate == null) {
    throw new GovernorError('launch_failed', 'the child has no stdio');
  }
  const gateWriter = gate as Writable;
  // The tool may end at any time; a write into a closed pipe is then no failure of the daemon's.
  for (const stream of [stdin, gateWriter]) stream.on('error', () => undefined);
  return {
    pid: child.pid,
    stdin,
    stdout,
    stderr,
    exited,
    openGate: (openFiles) => gateWriter.end(`${openFiles ?? ''}\n${byPerl ? environment.join('\0') : ''}`),
    closeGate: () => gateWriter.end(),
  };
}
