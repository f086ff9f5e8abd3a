/** Starts runs of one tool, beside its mailbox, and keeps account of the starts that are under way. */

import type { EndReason } from '../core/audit-record.ts';
import { GovernorError } from '../core/errors.ts';
import type { Assembled } from './assembly.ts';
import type { ToolDefinition } from './governor.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { LogRing } from './log-ring.ts';
import type { Monitor } from './monitor.ts';
import type { SupervisorPorts } from './ports.ts';
import type { EndRequest, Run } from './run.ts';
import { startDirect, startManaged } from './start.ts';
import type { DirectStart, ManagedStart } from './start.ts';
import type { ToolRuns } from './tool-runs.ts';

export interface StarterOptions {
  readonly ports: SupervisorPorts;
  readonly monitor: Monitor;
  readonly lifecycle: Lifecycle;
  readonly runs: ToolRuns;
  readonly logs: LogRing;
  definition(): ToolDefinition;
  /** One of the tool's runs is looked after from now on; its limits are those of when its start began. */
  onContained(): void;
  /** Told before the error is thrown on. */
  onFailed(failure: FailedStart): void;
}

export interface FailedStart {
  readonly mode: Run['init']['mode'];
  readonly onDemand: boolean;
  /** `launch_failed`: not even a run came of it. */
  readonly reason: EndReason;
  readonly error: unknown;
  /** What came of it until then, ended by now; null: nothing that is to be told of. */
  readonly run: Run | null;
}

export class Starter {
  readonly #options: StarterOptions;
  readonly #starts = new Set<Promise<unknown>>();
  /** The same to their very end, what they have to end themselves included. */
  readonly #followed = new Set<Promise<unknown>>();
  /** Managed runs until their start is over, either way. */
  readonly #underWay = new Set<Run>();
  /** Set when the daemon ends: what is still being started is ended at once. */
  #final: { readonly request: EndRequest; readonly concerns: (run: Run) => boolean } | null = null;

  constructor(options: StarterOptions) {
    this.#options = options;
  }

  /** No start is under way. */
  get idle(): boolean {
    return this.#starts.size === 0;
  }

  /** Whether its start succeeds is not known yet. */
  isUnderWay(run: Run): boolean {
    return this.#underWay.has(run);
  }

  /** What is started from now on is ended at once. */
  get isFinal(): boolean {
    return this.#final !== null;
  }

  /** Puts a launcher under supervision. @throws GovernorError when that fails */
  direct(request: DirectStart, definition: ToolDefinition): Promise<Run> {
    return this.#follow(this.#direct(request, definition));
  }

  /** Resolves when the tool is ready. @throws GovernorError when it does not get ready, or is stopped before it is */
  managed(request: ManagedStart): Promise<Run> {
    return this.#follow(this.#managed(request));
  }

  /** From now on the run is looked after; one that was overtaken by a stop is ended. */
  watch(assembled: Assembled): void {
    const { runs } = this.#options;
    runs.watch(assembled);
    const final = this.#final;
    // Not in the middle of its start, which goes on adding what the end has to release.
    if (final?.concerns(assembled.run) === true) setImmediate(() => void runs.end(assembled, final.request));
    else if (this.#isStopping()) setImmediate(() => void runs.end(assembled, this.#overtaken()));
  }

  /** The daemon ends: what of this tool it concerns is ended, also what is still being started. Never throws. */
  async shutDown(request: EndRequest, concerns: (run: Run) => boolean): Promise<void> {
    this.#final = { request, concerns };
    await this.#options.runs.endAll(request, concerns);
    await Promise.allSettled(this.#starts);
    await this.#options.runs.endAll(request, concerns);
  }

  /** Resolves when the starts of now are over, and what they began is ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#followed);
  }

  async #direct(request: DirectStart, definition: ToolDefinition): Promise<Run> {
    const { ports, runs, lifecycle, onFailed } = this.#options;
    try {
      const assembled = await this.#during(() =>
        startDirect(definition, request, ports, {
          onContained: (started) => this.#contained(started),
          onFailed: (started, end) => runs.end(started, end),
        }),
      );
      lifecycle.dispatch('run_started', assembled.run.id);
      if (lifecycle.state !== 'active') await runs.end(assembled, this.#overtaken());
      return assembled.run;
    } catch (error) {
      onFailed({ mode: 'direct', onDemand: false, reason: 'launch_failed', error, run: null });
      throw error;
    }
  }

  async #managed(request: ManagedStart): Promise<Run> {
    const { ports, monitor, runs, lifecycle, logs, definition, onFailed } = this.#options;
    let reason: EndReason = 'launch_failed';
    let begun: Run | null = null;
    const begin = ({ run }: Assembled): void => {
      begun = run;
      this.#underWay.add(run);
    };
    const over = (): Run | null => {
      if (begun !== null) this.#underWay.delete(begun);
      return begun;
    };
    try {
      const assembled = await this.#during(() =>
        startManaged(definition(), request, ports, {
          onContained: (started) => {
            begin(started);
            this.#contained(started);
          },
          onLogLine: (line) => logs.add(line),
          onExit: (run) => monitor.poke(run.id),
          onFailed: async (started, end) => {
            begin(started);
            await runs.end(started, end);
            reason = started.ending.request?.reason ?? end.reason;
          },
        }),
      );
      lifecycle.dispatch('run_started', assembled.run.id);
      if (lifecycle.state !== 'active') {
        reason = 'requested';
        await runs.end(assembled, this.#overtaken());
        throw new GovernorError('illegal_state', `${assembled.run.tool} was stopped while it was starting`);
      }
      over();
      return assembled.run;
    } catch (error) {
      onFailed({ mode: 'managed', onDemand: request.onDemand, reason, error, run: over() });
      throw error;
    }
  }

  #contained(assembled: Assembled): void {
    this.watch(assembled);
    this.#options.onContained();
  }

  #isStopping(): boolean {
    const { state } = this.#options.lifecycle;
    return state === 'deactivating' || state === 'unregistering';
  }

  #overtaken(): EndRequest {
    return {
      reason: 'requested',
      message: 'stopped while it was starting',
      graceMs: this.#options.definition().graceMs,
    };
  }

  /** A start that is over, either way, counts no more. */
  async #during<T>(start: () => Promise<T>): Promise<T> {
    const started = start();
    this.#starts.add(started);
    try {
      return await started;
    } finally {
      this.#starts.delete(started);
    }
  }

  /** A stop waits for what it has overtaken. */
  #follow<T>(start: Promise<T>): Promise<T> {
    const over: Promise<unknown> = start.then(
      () => this.#followed.delete(over),
      () => this.#followed.delete(over),
    );
    this.#followed.add(over);
    return start;
  }
}
