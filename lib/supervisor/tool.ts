/**
 * One actor per tool: events come in one at a time, the transition table decides, the actor carries the effects out.
 * Starting a run and ending it take time and happen beside the mailbox; their outcomes are new events.
 */

import type { EndReason } from '../core/audit-record.ts';
import { GovernorError } from '../core/errors.ts';
import type { Decision } from '../core/policy.ts';
import type { ToolEffect, ToolState } from '../core/tool-state.ts';
import { admitBeside, admitDirect, admitManaged } from './admission.ts';
import type { Assembled } from './assembly.ts';
import type { ToolDefinition } from './governor.ts';
import { LogRing } from './log-ring.ts';
import { endFor, neverBegan } from './end-for.ts';
import type { Finding, Monitor } from './monitor.ts';
import type { SupervisorPorts } from './ports.ts';
import type { Recovery } from './recovery.ts';
import type { Responder } from './responder.ts';
import type { EndRequest, Run } from './run.ts';
import type { DirectStart, ManagedStart } from './start.ts';
import type { FailedStart } from './starter.ts';
import { toolParts } from './tool-parts.ts';
import type { ToolParts } from './tool-parts.ts';
import type { EndView, RunView } from './views.ts';
import type { ServerInfo } from './ports.ts';

export interface ToolContext {
  readonly ports: SupervisorPorts;
  readonly monitor: Monitor;
  readonly responder: Responder;
  /** Times of failures of a tool of this name, kept beyond its registration; to be changed in place. */
  failuresOf(tool: string): number[];
  /** A run with a conversation is ready that no client's request has asked for. */
  onSpare(tool: Tool, run: Run): void;
  /** The tool has left the table: forget it. */
  onGone(tool: Tool): void;
}

export class Tool {
  definition: ToolDefinition;
  /** As it was registered, or last read from the file: without what was set by hand since. */
  written: ToolDefinition;
  readonly logs = new LogRing();
  server: ServerInfo | null = null;
  lastEnd: EndView | null = null;
  /** Resolves when the last start that no request asked for is over, either way. */
  spareStart: Promise<void> = Promise.resolve();
  readonly #context: ToolContext;
  readonly #parts: ToolParts;

  constructor(definition: ToolDefinition, context: ToolContext) {
    this.definition = definition;
    this.written = definition;
    this.#context = context;
    this.#parts = toolParts(this, context, {
      perform: (effect) => this.#perform(effect),
      ended: (assembled, end, wasReady) => this.#ended(assembled, end, wasReady),
      startFailed: (failure) => this.#startFailed(failure),
      stopProven: (run) => this.#stopProven(run),
      startAgain: () => this.#start({ context: null, onDemand: false }),
      isIdle: () => this.#isIdle,
    });
  }

  get recovery(): Recovery {
    return this.#parts.recovery;
  }

  get state(): ToolState {
    return this.#parts.lifecycle.state;
  }

  /** From the moment their process is contained until each is proven ended. */
  get runs(): ReadonlyMap<string, Assembled> {
    return this.#parts.runs.live;
  }

  /** Newest first. */
  get ended(): readonly RunView[] {
    return this.#parts.runs.ended;
  }

  /** CPU time of all runs in this daemon, milliseconds, never falling; null while nothing was measured. */
  get cpuTimeMs(): number | null {
    return this.#parts.runs.cpuTimeMs;
  }

  get name(): string {
    return this.definition.name;
  }

  /** Starts a managed run; resolves when it is ready. @throws GovernorError when refused or failed */
  async activate(context: string | null): Promise<Run> {
    return this.start({ context, onDemand: false });
  }

  /**
   * The same for whoever serves the tool to clients.
   * @throws GovernorError breaker_open with `retryAfterMs` in its data, where it does not stay stopped
   */
  async start(request: ManagedStart): Promise<Run> {
    admitManaged(this.definition, this.recovery, this.#context.ports.signIn, request.onDemand);
    this.#admit();
    this.recovery.letThrough();
    return this.#start(request);
  }

  /** Puts a launcher under supervision; resolves when it was told to go on. */
  async adoptLauncher(request: DirectStart, definition = this.definition): Promise<Run> {
    admitDirect(this.definition, this.recovery);
    this.#admit();
    return this.#parts.starter.direct(request, definition);
  }

  /** A run of an earlier daemon. */
  readopt(assembled: Assembled): void {
    this.#parts.lifecycle.dispatch('activate_requested');
    this.#parts.starter.watch(assembled);
    this.#parts.lifecycle.dispatch('run_started', assembled.run.id);
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
    if (runId === undefined) this.#parts.lifecycle.dispatch('deactivate_requested');
    await this.#parts.runs.endAll({ reason, message, graceMs }, ({ id }) => runId === undefined || id === runId);
    if (runId === undefined) await this.#parts.starter.settled();
  }

  /** Ends one run for a reason that lies outside the tool. Resolves when that is proven, or not; never rejects. */
  async endRun(runId: string, request: EndRequest): Promise<void> {
    await this.#parts.runs.endAll(request, ({ id }) => id === runId);
  }

  /** Removes the tool for good, after its runs. */
  async unregister(reason: EndReason = 'unregistered'): Promise<void> {
    this.#parts.lifecycle.dispatch('unregister_requested');
    await this.#parts.runs.endAll({
      reason,
      message: 'stopped: the tool was unregistered',
      graceMs: this.definition.graceMs,
    });
    await this.#parts.starter.settled();
  }

  /** Closes an open breaker and looks at unproven runs again. */
  async cleanup(): Promise<void> {
    this.recovery.reset();
    if (this.state === 'failed') this.#parts.lifecycle.dispatch('reset_requested');
    await this.#parts.unproven.recheck();
    this.#parts.afterRun.unregisterIfAdHoc();
  }

  handle(run: Run, finding: Finding): void {
    const assembled = this.runs.get(run.id);
    if (assembled === undefined) return;
    if (finding.kind === 'failed') {
      this.#context.ports.log.error({ tool: this.name, run: run.id, err: finding.error }, 'sampling failed');
    } else if (finding.kind === 'decisions') {
      for (const decision of finding.decisions) {
        run.decided.add(decision, run.nowMs);
        this.#parts.mailbox.post(() => this.#respond(assembled, decision));
      }
    } else {
      void this.#parts.runs.end(assembled, endFor(run, finding, this.definition.graceMs));
    }
  }

  /** Something of it is due in this time. */
  look(run: Run, inMs: number): void {
    this.#context.monitor.poke(run.id, inMs);
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
    this.recovery.cancel();
    await this.#parts.starter.shutDown(request, concerns);
  }

  /** The daemon goes and leaves its direct runs alive: nothing is ended, nothing is written any more. */
  abandon(): void {
    this.#parts.afterRun.cancel();
    this.#parts.unproven.cancel();
    this.#parts.runs.abandon();
  }

  #respond(assembled: Assembled, decision: Decision): Promise<void> {
    const { run } = assembled;
    return this.#context.responder.respond(run, decision, (request, action) => {
      if (action === 'stop') run.endsTool = true;
      // A managed run's failure is counted when its recovery is considered.
      if (action === 'kill' && run.init.mode === 'direct') this.recovery.countFailure();
      void this.#parts.runs.end(assembled, request);
    });
  }

  #admit(): void {
    if (this.state === 'failed') this.#parts.lifecycle.dispatch('reset_requested');
    admitBeside(this.name, this.runs.values());
    this.#parts.lifecycle.dispatch('activate_requested');
  }

  #start(request: ManagedStart): Promise<Run> {
    const started = this.#started(request);
    const isOver = (): void => undefined;
    if (!request.onDemand) this.spareStart = started.then(isOver, isOver);
    return started;
  }

  async #started(request: ManagedStart): Promise<Run> {
    const run = await this.#parts.starter.managed(request);
    this.server = run.connection?.server ?? null;
    this.recovery.started(run);
    if (run.end !== null) this.#parts.afterRun.startedAndEnded(run, run.end);
    if (!request.onDemand && run.connection !== null) this.#context.onSpare(this, run);
    return run;
  }

  #startFailed(failure: FailedStart): void {
    const { mode, reason, error } = failure;
    if (mode === 'managed' && reason === 'launch_failed') this.lastEnd = neverBegan(error);
    this.#parts.afterRun.startFailed(failure);
  }

  /** No run, and none under way. */
  get #isIdle(): boolean {
    return this.runs.size === 0 && this.#parts.starter.idle;
  }

  #ended(assembled: Assembled, end: EndView, wasReady: boolean): void {
    const { run } = assembled;
    const isUnderWay = this.#parts.starter.isUnderWay(run);
    this.lastEnd = end;
    // What was said on its stderr has come in from there.
    if (!assembled.ending.said) this.logs.add(`governor: ${this.name}: ${end.message}`);
    if (run.state === 'unproven') {
      this.#parts.lifecycle.dispatch('stop_unproven', run.id);
      this.#parts.unproven.arm();
      this.recovery.unproven(run, end);
    } else {
      this.#forgetRun(run);
      this.#parts.afterRun.ended(run, end, wasReady || !isUnderWay);
    }
    // It tells what comes next, which is decided when a start that is under way is over.
    if (!isUnderWay) this.#parts.afterRun.keepPostMortem(run, end);
  }

  #stopProven(run: Run): void {
    this.#parts.lifecycle.dispatch('stop_proven', run.id);
    this.#forgetRun(run);
    this.#parts.afterRun.unregisterIfAdHoc();
  }

  #forgetRun(run: Run): void {
    this.#parts.runs.forget(run);
    // What sleeps is still known.
    if (this.runs.size === 0 && !SLEEPS.has(run.end?.reason)) this.server = null;
    this.#parts.lifecycle.dispatch(this.#isIdle ? 'last_run_ended' : 'run_ended', run.id);
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

/** Ends after which the next request starts another. */
const SLEEPS: ReadonlySet<EndReason | undefined> = new Set<EndReason | undefined>(['idle', 'leak']);
