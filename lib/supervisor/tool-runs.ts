/** The runs of one tool, from the moment their process is contained until each is proven ended. */

import type { Assembled } from './assembly.ts';
import type { Monitor } from './monitor.ts';
import type { SupervisorPorts } from './ports.ts';
import type { EndRequest, Run } from './run.ts';
import { runView } from './run-view.ts';
import type { EndView, RunView } from './views.ts';

const ENDED_KEPT = 20;
const MONITOR_DEADLINE_MS = 1_000;

export interface ToolRunsOptions {
  readonly ports: SupervisorPorts;
  readonly monitor: Monitor;
  /** @param wasReady it had been running when its end began */
  onEnded(assembled: Assembled, end: EndView, wasReady: boolean): void;
}

export class ToolRuns {
  readonly live = new Map<string, Assembled>();
  /** Newest first. */
  readonly ended: RunView[] = [];
  readonly #options: ToolRunsOptions;
  readonly #endings = new Map<string, Promise<void>>();
  #endedCpuMs = 0;

  constructor(options: ToolRunsOptions) {
    this.#options = options;
  }

  /** CPU time of all runs in this daemon, milliseconds, never falling; null while nothing was measured. */
  get cpuTimeMs(): number | null {
    const live = [...this.live.values()].flatMap(({ run }) =>
      run.judge.cpuTimeMs === null ? [] : [run.judge.cpuTimeMs],
    );
    return live.length === 0 && this.#endedCpuMs === 0 ? null : live.reduce((sum, ms) => sum + ms, this.#endedCpuMs);
  }

  watch(assembled: Assembled): void {
    const { run } = assembled;
    this.live.set(run.id, assembled);
    this.#options.monitor.add(run);
    run.init.scope.add('monitor', () => this.#options.monitor.remove(run.id), MONITOR_DEADLINE_MS);
  }

  /** All runs that this concerns. Resolves when each is proven ended or `unproven`; never throws. */
  async endAll(request: EndRequest, concerns: (run: Run) => boolean = () => true): Promise<void> {
    const concerned = [...this.live.values()].filter(({ run }) => concerns(run));
    await Promise.all(concerned.map((assembled) => this.end(assembled, request)));
  }

  /** One ending a run, however often it is asked for. Never throws. */
  end(assembled: Assembled, request: EndRequest): Promise<void> {
    const { run, ending } = assembled;
    const known = this.#endings.get(run.id);
    if (known !== undefined) {
      // Only takes the time to be polite away, where the new request has none.
      void ending.begin(request);
      return known;
    }
    const wasReady = run.state === 'running';
    this.#noteStopping(assembled);
    const ended = ending
      .begin(request)
      .then((end) => this.#options.onEnded(assembled, end, wasReady))
      .catch((error: unknown) => {
        this.#options.ports.log.error({ tool: run.tool, run: run.id, err: error }, 'the end of a run failed');
      });
    this.#endings.set(run.id, ended);
    return ended;
  }

  /** It is proven ended: from now on only its view is kept. */
  forget(run: Run): void {
    this.#endedCpuMs += run.judge.cpuTimeMs ?? 0;
    this.live.delete(run.id);
    this.#endings.delete(run.id);
    this.ended.unshift(runView(run, this.#options.ports));
    this.ended.length = Math.min(this.ended.length, ENDED_KEPT);
  }

  /** The daemon goes without them. */
  abandon(): void {
    for (const runId of this.live.keys()) this.#options.monitor.remove(runId);
  }

  /** A stop neither waits for the disk nor fails with it; without the note a successor of this daemon would adopt the run. */
  #noteStopping({ run, progress }: Assembled): void {
    try {
      progress('stopping');
    } catch (error) {
      // Whatever the disk says: ENOSPC, EDQUOT, EROFS, EIO.
      this.#options.ports.log.error(
        { tool: run.tool, run: run.id, err: error },
        'the ledger cannot be written: the stop goes on without it',
      );
    }
  }
}
