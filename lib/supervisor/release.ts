/**
 * What gives back, in reverse, what a run holds: one finalizer for each step. What could not be given back keeps the run
 * on record, so that the next daemon tries again.
 */

import type { Containment } from '../os/backend.ts';
import type { LedgerEntry } from '../process/ledger.ts';
import type { Scope } from '../scope/scope.ts';
import type { Ending } from './ending.ts';
import type { SupervisorPorts } from './ports.ts';

const STEP_DEADLINE_MS = 10_000;
const MOST_LATE_KILLS = 3;

export interface ReleaseOptions {
  readonly scope: Scope;
  readonly run: string;
  readonly tool: string;
  readonly tempRoot: string;
  readonly ending: () => Ending | null;
  /** Keeps the ledger in step. */
  readonly progress: (step: LedgerEntry['step']) => void;
  readonly ports: SupervisorPorts;
}

export class Release {
  readonly #options: ReleaseOptions;
  /** Steps that have begun and not succeeded. One that comes to its deadline may still do so. */
  readonly #open = new Set<string>();

  constructor(options: ReleaseOptions) {
    this.#options = options;
  }

  addLedger(): void {
    const { scope, run, ending, progress, ports } = this.#options;
    scope.add(
      'ledger entry',
      () => {
        // What may still live, or is still there, stays on record: the next daemon must find it too.
        if (ending()?.survived === true) progress('unproven');
        else if (this.#open.size > 0) progress('stopping');
        else ports.ledger.remove(run);
      },
      STEP_DEADLINE_MS,
    );
  }

  addTemp(tempDir: string): void {
    this.#add('5 temp storage', () => this.#removeTemp(tempDir), STEP_DEADLINE_MS * 6);
  }

  addContainment(containment: Containment): void {
    this.#add('3 memory, 4 CPU: containment', () => this.#removeContainment(containment), STEP_DEADLINE_MS);
  }

  #add(label: string, work: () => Promise<string | void>, deadlineMs: number): void {
    this.#options.scope.add(
      label,
      async () => {
        this.#open.add(label);
        const detail = await work();
        this.#open.delete(label);
        return detail;
      },
      deadlineMs,
    );
  }

  async #removeTemp(tempDir: string): Promise<string> {
    const { tool, run, tempRoot, ending, ports } = this.#options;
    const reason = ending()?.request?.reason ?? 'launch_failed';
    ports.recorder.record({ kind: 'intent', tool, run, action: 'delete_temp', reason, target: { directory: tempDir } });
    const { files, bytes, left, note } = await ports.tempDirs.remove(tempDir, tempRoot);
    ending()?.tempRemoved(files, bytes);
    const detail = { files, bytes, left: left.slice(0, 20), ...(note === null ? {} : { note }) };
    ports.recorder.record({ kind: 'outcome', tool, run, action: 'delete_temp', ok: left.length === 0, detail });
    if (left.length > 0) throw new Error(`could not delete ${left.length} entries, the first is ${left[0] ?? ''}`);
    return `${files} files, ${bytes} bytes${note === null ? '' : `; ${note}`}`;
  }

  async #removeContainment(containment: Containment): Promise<void> {
    const { membership } = containment;
    for (let kills = 0; ; kills += 1) {
      try {
        await containment.remove(STEP_DEADLINE_MS / 2);
        break;
      } catch (error) {
        if (membership.exact) throw error;
        if (kills === MOST_LATE_KILLS) {
          // From now on it is watched like every run that survived its stop.
          if (membership.members().length > 0) this.#options.ending()?.foundAlive();
          throw error;
        }
        await this.#killLate(containment);
      }
    }
    // Only now: what could not be removed is looked at again later.
    containment.close();
  }

  /** Where a process can hide from a scan, somebody may be seen only after the tree was found empty. */
  async #killLate({ membership, killer }: Containment): Promise<void> {
    const { tool, run, ending, ports } = this.#options;
    const pids = membership.members().map(({ pid }) => pid);
    if (pids.length === 0) return;
    const reason = ending()?.request?.reason ?? 'launch_failed';
    const target = { pids: pids.slice(0, 100), processes: pids.length };
    ports.recorder.record({ kind: 'intent', tool, run, action: 'kill', reason, target });
    await killer.kill();
    const left = membership.members().length;
    ports.recorder.record({
      kind: 'outcome',
      tool,
      run,
      action: 'kill',
      ok: false,
      detail: { how: left === 0 ? 'killed' : 'survived', proven: false },
    });
  }
}
