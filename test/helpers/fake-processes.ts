/** Processes that exist only in memory, managed ones with stdio. */

import { PassThrough } from 'node:stream';
import type { ProcessIdentity } from '../../lib/core/identity.ts';
import type { ExitInfo } from '../../lib/process/exit.ts';
import type { Ancestor, ProcessFacts } from '../../lib/process/facts.ts';
import type { ManagedProcess } from '../../lib/process/managed-launch.ts';
import type { FailPoints } from './fail-points.ts';

/** What makes a process end; each also by everything stronger. */
export type EndsOn = 'end_of_input' | 'SIGTERM' | 'kill' | 'nothing';

export interface FakeProcess extends ManagedProcess {
  readonly identity: ProcessIdentity;
  readonly stdin: PassThrough;
  readonly stdout: PassThrough;
  readonly stderr: PassThrough;
  endsOn: EndsOn;
  alive: boolean;
  /** Managed ones: it has not become the tool yet. */
  atGate: boolean;
  /** Ends it with this status. */
  end(exit?: ExitInfo): void;
}

export class FakeProcesses implements ProcessFacts {
  readonly #processes = new Map<number, FakeProcess>();
  readonly #points: FailPoints;
  #nextPid = 100;
  /** Of those that are started from now on. */
  endsOn: EndsOn = 'SIGTERM';
  lineages = new Map<number, readonly Ancestor[]>();

  constructor(points: FailPoints) {
    this.#points = points;
  }

  start(): FakeProcess {
    const pid = this.#nextPid++;
    let resolveExit: (exit: ExitInfo) => void = () => undefined;
    const exited = new Promise<ExitInfo>((resolve) => (resolveExit = resolve));
    const process: FakeProcess = {
      pid,
      identity: { pid, startTicks: pid * 10 },
      stdin: new PassThrough(),
      stdout: new PassThrough(),
      stderr: new PassThrough(),
      endsOn: this.endsOn,
      alive: true,
      exited,
      atGate: true,
      openGate: (openFiles) => {
        this.#points.say(`gate opened, open files ${openFiles ?? 'as they are'}`);
        process.atGate = false;
      },
      closeGate: () => {
        if (process.atGate) process.end({ code: 125 });
      },
      end: (exit = { code: 0 }) => {
        if (!process.alive) return;
        process.alive = false;
        process.stdout.end();
        process.stderr.end();
        resolveExit(exit);
      },
    };
    process.stdin.resume();
    process.stdin.on('end', () => process.endsOn === 'end_of_input' && process.end());
    this.#processes.set(pid, process);
    return process;
  }

  get(pid: number): FakeProcess {
    const process = this.#processes.get(pid);
    if (process === undefined) throw new Error(`no process ${pid}`);
    return process;
  }

  identity(pid: number): ProcessIdentity | null {
    const process = this.#processes.get(pid);
    return process?.alive === true ? process.identity : null;
  }

  alive({ pid, startTicks }: ProcessIdentity): boolean {
    return this.identity(pid)?.startTicks === startTicks;
  }

  signal(pid: number, signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'SIGKILL'): void {
    const { endsOn, end } = this.get(pid);
    if (endsOn === 'nothing' || (endsOn === 'kill' && signal !== 'SIGKILL')) return;
    end({ signal });
  }

  lineage(pid: number): readonly Ancestor[] {
    return this.lineages.get(pid) ?? [];
  }

  argumentsOf(): readonly string[] {
    return [];
  }

  cwdOf(): string | null {
    return '/';
  }

  environmentOf(): readonly string[] | null {
    return [];
  }

  ownerOf(): number | null {
    return process.getuid?.() ?? null;
  }

  openFileLimits(): { readonly soft: number; readonly hard: number } | null {
    return { soft: 1024, hard: 4096 };
  }
}
