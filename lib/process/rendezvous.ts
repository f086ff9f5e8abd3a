/**
 * Where launchers (daemon/bin/governor) meet the daemon. A launcher opens an anonymous pipe to itself, rings the
 * doorbell FIFO with `PID FD` and blocks on the pipe; the daemon learns everything else from /proc/PID, answers through
 * /proc/PID/fd/FD, and the launcher becomes the tool, or carries bytes between its client and the daemon. See the script for why.
 */

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { ProcessIdentity } from '../core/identity.ts';
import type { ProcessFacts } from './facts.ts';
import { ASIDE, forgetEnvironments, parseRing, putBack, readRequest, waitingLaunchers } from './launch-requests.ts';
import type { Ring } from './launch-requests.ts';

export interface LaunchRequest {
  readonly launcher: ProcessIdentity;
  readonly verb: Verb;
  /** `connect` only: the pipe that the launcher fills, and the one that it empties; its descriptors. */
  readonly pipes: Ring['pipes'];
  /** Words after the verb; of `run`: flags, an optional `--`, the command. */
  readonly words: readonly string[];
  readonly cwd: string;
  /** `NAME=value` of the launcher; secret. */
  readonly environment: readonly string[];
  /** One instruction a line, ending with `go` or `die`; false when the launcher is gone. */
  answer(lines: readonly string[]): boolean;
}

const VERBS = ['run', 'connect'] as const;
type Verb = (typeof VERBS)[number];

export interface RendezvousOptions {
  /** `<stateDir>/launch` */
  readonly directory: string;
  readonly self: ProcessIdentity;
  readonly facts: ProcessFacts;
  onRequest(request: LaunchRequest): void;
  /** A ring that was no valid request, for the log. */
  onRefused(reason: string): void;
}

export class Rendezvous {
  readonly #options: RendezvousOptions;
  readonly #socket: Socket;
  /** Launchers that were heard and are not answered yet. */
  readonly #underWay = new Set<number>();
  #onIdle: () => void = () => undefined;
  #unread = '';
  /** Resolves when every request that an earlier daemon left unanswered is answered or refused. */
  readonly caughtUp: Promise<void>;

  /** Opens the doorbell and serves requests that an earlier daemon left unanswered. */
  constructor(options: RendezvousOptions) {
    this.#options = options;
    const { directory } = options;
    mkdirSync(join(directory, 'pending'), { recursive: true, mode: 0o700 });
    const doorbell = join(directory, 'doorbell');
    // Put in its place at once: a launcher that rings while there is none would make a plain file of that name.
    rmSync(`${doorbell}.new`, { force: true });
    execFileSync('mkfifo', ['-m', '600', `${doorbell}.new`]);
    renameSync(`${doorbell}.new`, doorbell);
    // Read-write, so that the FIFO never reports end of file between two launchers.
    this.#socket = new Socket({
      fd: openSync(doorbell, constants.O_RDWR | constants.O_NONBLOCK),
      readable: true,
      writable: false,
    });
    this.#socket.setEncoding('latin1');
    this.#socket.on('data', (text: string) => this.#ring(text));
    this.#socket.on('error', (error) => options.onRefused(`doorbell: ${error.message}`));
    writeFileSync(join(directory, 'daemon'), `${options.self.pid} ${options.self.startTicks}\n`, { mode: 0o600 });
    forgetEnvironments(directory);
    putBack(directory);
    for (const pid of waitingLaunchers(directory)) {
      const pending = join(directory, 'pending', String(pid));
      const line = readRequest(pending);
      if (line.startsWith(`${pid} `)) this.#serve(line);
      // A full disk takes the name of a request but not its text. Who still lives may be about to write it.
      else if (options.facts.identity(pid) === null) rmSync(pending, { force: true });
    }
    this.caughtUp = new Promise((resolve) => (this.#onIdle = resolve));
    if (this.#underWay.size === 0) this.#onIdle();
  }

  /** New launchers find no daemon from here on. */
  close(): void {
    rmSync(join(this.#options.directory, 'daemon'), { force: true });
    rmSync(join(this.#options.directory, 'doorbell'), { force: true });
    this.#socket.destroy();
    // Of launchers that died before they could ring.
    for (const pid of waitingLaunchers(this.#options.directory)) {
      if (this.#options.facts.identity(pid) === null)
        rmSync(join(this.#options.directory, 'pending', String(pid)), { force: true });
    }
  }

  #ring(text: string): void {
    const lines = (this.#unread + text).split('\n');
    this.#unread = (lines.pop() ?? '').slice(-64);
    for (const line of lines) this.#serve(line);
  }

  #serve(line: string): void {
    const { facts, directory } = this.#options;
    const ring = parseRing(line);
    if (ring === null) return this.#options.onRefused(`malformed request ${JSON.stringify(line.slice(0, 40))}`);
    const { pid, descriptor, pipes } = ring;
    const pending = join(directory, 'pending', String(pid));
    // A request is answered once: the doorbell and the pending file may both lead here.
    if (this.#underWay.has(pid) || !existsSync(pending)) return;
    const refuse = (reason: string): void => {
      rmSync(pending, { force: true });
      this.#options.onRefused(`process ${pid} ${reason}`);
    };
    const launcher = facts.identity(pid);
    const words = launcher === null ? [] : facts.argumentsOf(pid);
    const at = words.findIndex((word) => isVerb(word));
    const verb = words[at];
    const environment = launcher === null ? null : facts.environmentOf(pid);
    if (launcher === null || at < 1 || !isVerb(verb) || environment === null) return refuse('is no launcher');
    if ((verb === 'connect') !== (pipes !== null)) return refuse(`asks for ${verb} with the wrong pipes`);
    if (facts.ownerOf(pid) !== process.getuid?.()) return refuse('belongs to another user');
    let file: number;
    try {
      file = openSync(`/proc/${pid}/fd/${descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      return refuse(`is no launcher: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (!fstatSync(file).isFIFO()) {
      closeSync(file);
      return refuse(`is no launcher: its descriptor ${descriptor} is no pipe`);
    }
    this.#underWay.add(pid);
    this.#options.onRequest({
      launcher,
      verb,
      pipes,
      words: words.slice(at + 1),
      cwd: facts.cwdOf(pid) ?? '/',
      environment,
      answer: this.#answerOnce(file, launcher, pending),
    });
  }

  /**
   * The request stays on disk until it is answered: a daemon that dies before leaves it to the next one. It dies right
   * after: then the next one finds that the launcher has become something else. Meanwhile it goes by another name, since
   * the tool may be a launcher itself, with the same pid.
   */
  #answerOnce(file: number, launcher: ProcessIdentity, pending: string): (lines: readonly string[]) => boolean {
    let answered = false;
    return (lines) => {
      if (answered) return false;
      answered = true;
      const aside = `${pending}${ASIDE}`;
      try {
        if (existsSync(pending)) renameSync(pending, aside);
        return this.#write(file, launcher, lines);
      } finally {
        rmSync(aside, { force: true });
        this.#underWay.delete(launcher.pid);
        if (this.#underWay.size === 0) this.#onIdle();
      }
    };
  }

  #write(file: number, launcher: ProcessIdentity, lines: readonly string[]): boolean {
    try {
      if (!this.#options.facts.alive(launcher)) return false;
      writeSync(file, lines.map((line) => `${line.replaceAll('\n', ' ')}\n`).join(''));
      return true;
    } catch (error) {
      this.#options.onRefused(`process ${launcher.pid}: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    } finally {
      closeSync(file);
    }
  }
}

function isVerb(word: string | undefined): word is Verb {
  return (VERBS as readonly (string | undefined)[]).includes(word);
}
