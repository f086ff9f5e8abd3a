/**
 * One actor per tool: events come in one at a time, the transition table decides, the actor carries the effects out.
 * Starting a run and ending it take time and happen beside the mailbox; their outcomes are new events.
 */

import type { EndReason } from '../core/audit-record.ts';
import { GovernorError } from '../core/errors.ts';
import { formatDuration } from '../core/format.ts';
import type { Decision } from '../core/policy.ts';
import type { ToolEffect, ToolEvent, ToolState } from '../core/tool-state.ts';
import { transition } from '../core/tool-state.ts';
import type { Assembled } from './assembly.ts';
import type { ToolDefinition } from './governor.ts';
import { LogRing } from './log-ring.ts';
import { Mailbox } from './mailbox.ts';
import { endFor } from './end-for.ts';
import type { Finding, Monitor } from './monitor.ts';
import type { SupervisorPorts } from './ports.ts';
import { Recovery } from './recovery.ts';
import type { Responder } from './responder.ts';
import type { EndRequest, Run } from './run.ts';
import { startDirect, startManaged } from './start.ts';
import type { DirectStart } from './start.ts';
import { runView } from './run-view.ts';
import type { EndView, RunView } from './views.ts';
import type { ServerInfo } from './ports.ts';
import { UnprovenWatch } from './unproven.ts';

const ENDED_KEPT = 20;

export interface ToolContext {
  readonly ports: SupervisorPorts;
  readonly monitor: Monitor;
  readonly responder: Responder;
  /** Times of failures of a tool of this name, kept beyond its registration; to be changed in place. */
  failuresOf(tool: string): number[];
  /** The tool has left the table: forget it. */
  onGone(tool: Tool): void;
}

export class Tool {
  definition: ToolDefinition;
  /** As it was registered, or last read from the file: without what was set by hand since. */
  written: ToolDefinition;
  state: ToolState = 'registered';
  readonly runs = new Map<string, Assembled>();
  readonly ended: RunView[] = [];
  readonly logs = new LogRing();
  readonly recovery: Recovery;
  server: ServerInfo | null = null;
  lastEnd: EndView | null = null;
  /** CPU time of runs that have ended. */
  #endedCpuMs = 0;
  readonly #context: ToolContext;
  readonly #mailbox: Mailbox;
  readonly #endings = new Map<string, Promise<void>>();
  readonly #unproven: UnprovenWatch;
  /** It has left the table: late events find nothing to do, and its name may be another's by now. */
  #gone = false;
  /** Starts under way. */
  readonly #starts = new Set<Promise<unknown>>();
  /** The same to their very end, what they have to end themselves included. */
  readonly #underWay = new Set<Promise<unknown>>();
  /** Set when the daemon ends: what is still being started is ended at once. */
  #final: { readonly request: EndRequest; readonly concerns: (run: Run) => boolean } | null = null;

  constructor(definition: ToolDefinition, context: ToolContext) {
    this.definition = definition;
    this.written = definition;
    this.#context = context;
    this.#mailbox = new Mailbox((error) =>
      context.ports.log.error({ tool: definition.name, err: error }, 'a decision could not be carried out'),
    );
    this.#unproven = new UnprovenWatch({
      ports: context.ports,
      runs: () => this.runs.values(),
      onProven: ({ run }) => {
        this.#dispatch('stop_proven', run.id);
        this.#forgetRun(run);
        this.#unregisterIfAdHoc();
      },
    });
    this.recovery = new Recovery(
      () => this.definition,
      context.ports,
      context.failuresOf(definition.name),
      () => this.#recover(),
    );
  }

  /** CPU time of all runs in this daemon, milliseconds, never falling; null while nothing was measured. */
  get cpuTimeMs(): number | null {
    const live = [...this.runs.values()].flatMap(({ run }) => (run.cpuTimeMs === null ? [] : [run.cpuTimeMs]));
    return live.length === 0 && this.#endedCpuMs === 0 ? null : live.reduce((sum, ms) => sum + ms, this.#endedCpuMs);
  }

  get name(): string {
    return this.definition.name;
  }

  /** Starts a managed run; resolves when it is ready. @throws GovernorError when refused or failed */
  async activate(context: string | null): Promise<Run> {
    this.#admit();
    return this.#followed(this.#start(context));
  }

  /** Puts a launcher under supervision; resolves when it was told to go on. */
  async adoptLauncher(request: DirectStart, definition = this.definition): Promise<Run> {
    this.#admit();
    if (!this.recovery.breakerMayClose()) {
      this.#dispatch('launch_failed');
      this.#unregisterIfAdHoc();
      const { budget, windowMs } = this.definition.recovery;
      throw new GovernorError(
        'breaker_open',
        `${this.name} had more than ${budget} emergency stops in ${formatDuration(windowMs)}; wait until they are past`,
      );
    }
    return this.#followed(this.#startDirect(request, definition));
  }

  async #startDirect(request: DirectStart, definition: ToolDefinition): Promise<Run> {
    try {
      const assembled = await this.#whileStarting(() =>
        startDirect(definition, request, this.#context.ports, {
          onContained: (started) => this.#watch(started),
          onFailed: (started, end) => this.#end(started, end),
        }),
      );
      this.#dispatch('run_started', assembled.run.id);
      if (this.state !== 'active') await this.#end(assembled, this.#overtaken());
      return assembled.run;
    } catch (error) {
      this.#startFailed();
      this.#unregisterIfAdHoc();
      throw error;
    }
  }

  /** A run of an earlier daemon. */
  readopt(assembled: Assembled): void {
    this.#dispatch('activate_requested');
    this.#watch(assembled);
    this.#dispatch('run_started', assembled.run.id);
  }

  /** Ends the run, or all runs; resolves when each is proven ended or `unproven`. */
  async stop(
    reason: EndReason,
    message: string,
    runId?: string,
    graceMs: number = this.definition.graceMs,
  ): Promise<void> {
    if (runId !== undefined && !this.runs.has(runId))
      throw new GovernorError('unknown_run', `${this.name} has no run ${runId}`);
    if (runId === undefined) this.#dispatch('deactivate_requested');
    await this.#endRuns({ reason, message, graceMs }, runId);
    if (runId === undefined) await Promise.all(this.#underWay);
  }

  /** Removes the tool for good, after its runs. */
  async unregister(reason: EndReason = 'unregistered'): Promise<void> {
    this.#dispatch('unregister_requested');
    await this.#endRuns({ reason, message: 'stopped: the tool was unregistered', graceMs: this.definition.graceMs });
    await Promise.all(this.#underWay);
  }

  /** Closes an open breaker and looks at unproven runs again. */
  async cleanup(): Promise<void> {
    this.recovery.reset();
    if (this.state === 'failed') this.#dispatch('reset_requested');
    await this.#unproven.recheck();
  }

  handle(run: Run, finding: Finding): void {
    const assembled = this.runs.get(run.id);
    if (assembled === undefined) return;
    if (finding.kind === 'failed') {
      this.#context.ports.log.error({ tool: this.name, run: run.id, err: finding.error }, 'sampling failed');
    } else if (finding.kind === 'decisions') {
      for (const decision of finding.decisions) this.#mailbox.post(() => this.#respond(assembled, decision));
    } else {
      void this.#end(assembled, endFor(run, finding, this.definition.graceMs));
    }
  }

  /** No more time to be polite, for ends under way. */
  hurry(): void {
    for (const { run, ending } of this.runs.values()) {
      if (run.state === 'stopping')
        void ending.begin({ reason: 'shutdown', message: 'stopped: Governor shuts down', graceMs: 0 });
    }
  }

  /** The daemon ends, and with it the runs that this concerns, also those whose start is under way. Never throws. */
  async shutDown(request: EndRequest, concerns: (run: Run) => boolean): Promise<void> {
    this.#final = { request, concerns };
    this.recovery.cancel();
    const endAll = (): Promise<unknown> =>
      Promise.allSettled(
        [...this.runs.values()].filter(({ run }) => concerns(run)).map((assembled) => this.#end(assembled, request)),
      );
    await endAll();
    await Promise.allSettled(this.#starts);
    await endAll();
  }

  /** The daemon goes and leaves its direct runs alive: nothing is ended, nothing is written any more. */
  abandon(): void {
    this.recovery.cancel();
    this.#unproven.cancel();
    for (const runId of this.runs.keys()) this.#context.monitor.remove(runId);
  }

  #respond(assembled: Assembled, decision: Decision): Promise<void> {
    const { run } = assembled;
    return this.#context.responder.respond(run, decision, (request, action) => {
      if (action === 'stop' && run.init.mode === 'managed') this.recovery.hold();
      // A managed run's failure is counted when its recovery is considered.
      if (action === 'kill' && run.init.mode === 'direct') this.recovery.countFailure();
      void this.#end(assembled, request);
    });
  }

  #admit(): void {
    if (this.state === 'failed' && this.recovery.breakerMayClose()) this.#dispatch('reset_requested');
    for (const { run } of this.runs.values()) {
      if (run.state === 'unproven')
        throw new GovernorError(
          'tool_unproven',
          `${this.name}: run ${run.id} is not proven to be stopped; see governor ls ${this.name}`,
        );
    }
    this.#dispatch('activate_requested');
  }

  async #start(context: string | null): Promise<Run> {
    let reason: EndReason = 'not_ready';
    try {
      const assembled = await this.#whileStarting(() =>
        startManaged(this.definition, context, this.#context.ports, {
          onContained: (started) => this.#watch(started),
          onLogLine: (line) => this.logs.add(line),
          onExit: (run) => this.#context.monitor.poke(run.id),
          onFailed: async (started, request) => {
            await this.#end(started, request);
            reason = started.ending.request?.reason ?? reason;
          },
        }),
      );
      this.#dispatch('run_started', assembled.run.id);
      if (this.state !== 'active') {
        reason = 'requested';
        await this.#end(assembled, this.#overtaken());
        throw new GovernorError('illegal_state', `${this.name} was stopped while it was starting`);
      }
      this.server = assembled.run.connection?.server ?? null;
      this.recovery.started();
      return assembled.run;
    } catch (error) {
      // What somebody stopped is not started again.
      if (this.state === 'deactivating' || this.state === 'unregistering' || this.#final !== null) reason = 'requested';
      this.#startFailed();
      this.#considerRecovery(reason);
      throw error;
    }
  }

  #overtaken(): EndRequest {
    return { reason: 'requested', message: 'stopped while it was starting', graceMs: this.definition.graceMs };
  }

  /** A stop waits for what it has overtaken. */
  #followed<T>(start: Promise<T>): Promise<T> {
    const over: Promise<unknown> = start.then(
      () => this.#underWay.delete(over),
      () => this.#underWay.delete(over),
    );
    this.#underWay.add(over);
    return start;
  }

  /** A start is over, either way. */
  async #whileStarting<T>(start: () => Promise<T>): Promise<T> {
    const started = start();
    this.#starts.add(started);
    try {
      return await started;
    } finally {
      this.#starts.delete(started);
    }
  }

  #startFailed(): void {
    if (this.#idle()) this.#dispatch(this.state === 'active' ? 'last_run_ended' : 'launch_failed');
  }

  /** No run, and none under way. */
  #idle(): boolean {
    return this.runs.size === 0 && this.#starts.size === 0;
  }

  #watch(assembled: Assembled): void {
    this.runs.set(assembled.run.id, assembled);
    this.#context.monitor.add(assembled.run);
    assembled.run.init.scope.add('monitor', () => this.#context.monitor.remove(assembled.run.id), 1_000);
    const final = this.#final;
    // Not in the middle of its start, which goes on adding what the end has to release.
    if (final?.concerns(assembled.run) === true) setImmediate(() => void this.#end(assembled, final.request));
    else if (this.state === 'deactivating' || this.state === 'unregistering')
      setImmediate(() => void this.#end(assembled, this.#overtaken()));
  }

  async #endRuns(request: EndRequest, runId?: string): Promise<void> {
    const ends: Promise<void>[] = [];
    for (const assembled of this.runs.values()) {
      if (runId === undefined || assembled.run.id === runId) ends.push(this.#end(assembled, request));
    }
    await Promise.all(ends);
  }

  /** A stop neither waits for the disk nor fails with it; without the note a successor of this daemon would adopt the run. */
  #noteStopping({ run, progress }: Assembled): void {
    try {
      progress('stopping');
    } catch (error) {
      // Whatever the disk says: ENOSPC, EDQUOT, EROFS, EIO.
      this.#context.ports.log.error(
        { tool: this.name, run: run.id, err: error },
        'the ledger cannot be written: the stop goes on without it',
      );
    }
  }

  /** One ending a run, however often it is asked for. */
  #end(assembled: Assembled, request: EndRequest): Promise<void> {
    const { run, ending } = assembled;
    const known = this.#endings.get(run.id);
    if (known !== undefined) {
      // Only takes the time to be polite away, where the new request has none.
      void ending.begin(request);
      return known;
    }
    const wasReady = run.state === 'running';
    this.#noteStopping(assembled);
    const ended = ending.begin(request).then(
      (end) => this.#ended(assembled, end, wasReady),
      (error: unknown) => {
        this.#context.ports.log.error({ tool: this.name, run: run.id, err: error }, 'the end of a run failed');
      },
    );
    this.#endings.set(run.id, ended);
    return ended;
  }

  #ended(assembled: Assembled, end: EndView, wasReady: boolean): void {
    const { run } = assembled;
    this.lastEnd = end;
    this.logs.add(`governor: ${end.message}`);
    if (run.state === 'unproven') {
      this.#dispatch('stop_unproven', run.id);
      this.#unproven.arm();
      return;
    }
    this.#forgetRun(run);
    // A run that never became ready is reported by its start.
    if (wasReady && run.init.mode === 'managed') this.#considerRecovery(end.reason);
    this.#unregisterIfAdHoc();
  }

  #forgetRun(run: Run): void {
    this.#endedCpuMs += run.cpuTimeMs ?? 0;
    this.runs.delete(run.id);
    this.#endings.delete(run.id);
    this.ended.unshift(runView(run, this.#context.ports));
    this.ended.length = Math.min(this.ended.length, ENDED_KEPT);
    if (this.runs.size === 0) this.server = null;
    this.#dispatch(this.#idle() ? 'last_run_ended' : 'run_ended', run.id);
  }

  #considerRecovery(reason: EndReason): void {
    if (this.state !== 'registered') return;
    const verdict = this.recovery.consider(reason);
    if (verdict === 'scheduled') this.#dispatch('recovery_scheduled');
    if (verdict === 'gave_up') this.#dispatch('recovery_gave_up');
  }

  #recover(): void {
    if (this.state !== 'recovering') return;
    this.#dispatch('recovery_due');
    this.#followed(this.#start(null)).catch((error: unknown) => {
      this.#context.ports.log.warn({ tool: this.name, err: error }, 'a restart failed');
    });
  }

  /** `run` without an entry in the file: the tool goes with its last run. */
  #unregisterIfAdHoc(): void {
    if (this.definition.origin === 'run' && this.#idle() && this.state === 'registered')
      this.#dispatch('unregister_requested');
  }

  #dispatch(event: ToolEvent, runId?: string): void {
    const from = this.#gone ? 'gone' : this.state;
    const cell = transition(from, event);
    if ('ignore' in cell) return;
    if ('refuse' in cell)
      throw new GovernorError(
        cell.refuse,
        `${this.name} is ${from}: ${event.replaceAll('_', ' ')} is not possible now`,
      );
    this.#gone = cell.to === 'gone';
    this.state = cell.to === 'gone' ? 'unregistering' : cell.to;
    if (from !== cell.to) {
      this.#context.ports.recorder.record({
        kind: 'lifecycle',
        tool: this.name,
        ...(runId === undefined ? {} : { run: runId }),
        from,
        to: cell.to,
        event,
      });
    }
    for (const effect of cell.effects) this.#perform(effect);
  }

  #perform(effect: ToolEffect): void {
    switch (effect) {
      // Starts and stops are carried out by whoever posted the event and waits for them.
      case 'start_run':
      case 'stop_all_runs':
      case 'schedule_recovery':
        return;
      case 'cancel_recovery':
        this.recovery.cancel();
        return;
      case 'forget_tool':
        this.abandon();
        this.#context.onGone(this);
        return;
    }
  }
}
