/** The Governor that REST, the command line and the launch door speak to. Thin: tools do the work. */

import type { EndReason } from '../core/audit-record.ts';
import { GovernorError } from '../core/errors.ts';
import { applyDefinitions } from './apply-definitions.ts';
import type { LoadedDefinitions } from './apply-definitions.ts';
import { Budgets } from './budgets.ts';
import { budgetView, limitedBudgets } from './budget-view.ts';
import type { Governor, LimitPatch, ReloadOutcome, ToolDefinition } from './governor.ts';
import { adaptLimit, capsFit, catchUp, changeLimits, withHeld } from './change-limits.ts';
import type { LimitAdaption } from './change-limits.ts';
import { Monitor } from './monitor.ts';
import { moveRun, refuseToMove } from './move-run.ts';
import type { SupervisorPorts } from './ports.ts';
import { createResponder } from './responder.ts';
import type { Run } from './run.ts';
import type { DirectStart } from './start.ts';
import { Tool } from './tool.ts';
import { runView } from './run-view.ts';
import { ToolTable } from './tool-table.ts';
import { toolView } from './tool-view.ts';
import type { BudgetView, EventView, RunView, ToolView } from './views.ts';

/** Bounds the daemon's memory against a client that registers in a loop. */
const TOOLS_MAX = 20_000;

export interface RegistryOptions {
  readonly ports: SupervisorPorts;
  /** Reads the file again; the registry applies what it finds. @throws GovernorError invalid_config */
  loadDefinitions(): Promise<LoadedDefinitions>;
  readonly events: { subscribe(lastId: number | null, onEvent: (event: EventView) => void): () => void };
  onPass(durationMs: number): void;
  onSample(run: Run): void;
  onForgotten(tool: string): void;
  /** A managed run is ready that no client's request has asked for. */
  onSpare?(tool: Tool, run: Run): void;
  /** A tool came or went; null: any may have, or is defined anew. */
  onTools?(tool: string | null): void;
}

export class Registry extends ToolTable implements Governor {
  readonly #options: RegistryOptions;
  readonly #ports: SupervisorPorts;
  readonly #monitor: Monitor;
  readonly #budgets: Budgets;
  readonly #context;
  readonly #failures = new Map<string, number[]>();
  #closing = false;

  constructor(options: RegistryOptions) {
    super(options.ports);
    this.#options = options;
    this.#ports = options.ports;
    this.#monitor = new Monitor({
      clock: options.ports.clock,
      facts: options.ports.facts,
      baseMs: options.ports.sampleIntervalMs,
      onFinding: (run, finding) => this.live.get(run.tool)?.handle(run, finding),
      onSample: (run) => {
        this.#setPendingCaps(run);
        options.ports.leaks.onSample(run);
        options.onSample(run);
      },
      onPass: (durationMs) => {
        options.onPass(durationMs);
        this.#budgets.judge();
      },
    });
    this.#budgets = new Budgets({
      ports: options.ports,
      monitor: this.#monitor,
      end: async (run, request) => this.live.get(run.tool)?.endRun(run.id, request),
    });
    this.#context = {
      ports: options.ports,
      monitor: this.#monitor,
      responder: createResponder(options.ports),
      failuresOf: (name: string) => this.#failuresOf(name),
      onSpare: (tool: Tool, run: Run) => options.onSpare?.(tool, run),
      onGone: (tool: Tool) => {
        this.forget(tool);
        options.ports.leaks.forget(tool.name);
        options.onForgotten(tool.name);
        options.onTools?.(tool.name);
      },
    };
  }

  register(definition: ToolDefinition): Promise<ToolView> {
    return Promise.resolve(toolView(this.add(definition), this.#ports));
  }

  /** @throws GovernorError tool_exists, too_many_tools, shutting_down */
  add(definition: ToolDefinition): Tool {
    this.refuseWhenClosing();
    if (this.live.has(definition.name))
      throw new GovernorError('tool_exists', `a tool named ${definition.name} is registered already`);
    if (this.live.size >= TOOLS_MAX)
      throw new GovernorError('too_many_tools', `${TOOLS_MAX} tools are registered; unregister some`);
    const tool = new Tool(definition, this.#context);
    this.enter(tool);
    this.#ports.recorder.record({
      kind: 'lifecycle',
      tool: definition.name,
      from: 'unknown',
      to: 'registered',
      event: 'registered',
      detail: { origin: definition.origin },
    });
    this.#options.onTools?.(definition.name);
    return tool;
  }

  async unregister(name: string): Promise<void> {
    await this.find(name).unregister();
  }

  async activate(name: string, options: { readonly context: string | null }): Promise<RunView> {
    this.refuseWhenClosing();
    const tool = this.find(name);
    if (tool.definition.origin === 'run')
      throw new GovernorError(
        'not_managed',
        `${name} is started by its client with governor run; the daemon cannot start it`,
      );
    return runView(await tool.activate(options.context), this.#ports);
  }

  /** A launcher at the door: its tool is registered when it is not. */
  async launch(definition: ToolDefinition, request: DirectStart): Promise<Run> {
    this.refuseWhenClosing();
    const tool = this.live.get(definition.name) ?? this.add(definition);
    // Flags hold for this run; the entry of the file stays as it is.
    const followed = { ...definition, limits: withHeld(definition.limits, tool.definition.limits) };
    if (tool.definition.origin === 'run') tool.definition = followed;
    return tool.adoptLauncher(request, followed);
  }

  async deactivate(name: string, runId?: string): Promise<ToolView> {
    const tool = this.find(name);
    await tool.stop('requested', 'stopped on request', runId);
    return toolView(tool, this.#ports);
  }

  async restart(name: string, runId?: string): Promise<ToolView> {
    const tool = this.find(name);
    // All that can be done from here: its client may start it again.
    if (tool.definition.origin === 'run' && tool.state === 'failed') return this.cleanup(name);
    if (tool.definition.origin === 'run')
      throw new GovernorError(
        'not_managed',
        `${name} is started by its client; stop it and its client will start it again`,
      );
    if (runId !== undefined && !tool.runs.has(runId))
      throw new GovernorError('unknown_run', `${name} has no run ${runId}`);
    tool.recovery.reset();
    if (tool.state === 'failed') await tool.cleanup();
    if (tool.runs.size > 0) await tool.stop('restart', 'stopped to be restarted', runId);
    await this.activate(name, { context: null });
    return toolView(tool, this.#ports);
  }

  async cleanup(name: string): Promise<ToolView> {
    const tool = this.find(name);
    await tool.cleanup();
    return this.live.has(name)
      ? toolView(tool, this.#ports)
      : { ...toolView(tool, this.#ports), state: 'unregistering' };
  }

  async setLimits(name: string, patch: LimitPatch, by: string): Promise<ToolView> {
    const tool = this.find(name);
    await changeLimits(tool, patch, by, this.#ports);
    for (const runId of tool.runs.keys()) this.#monitor.poke(runId);
    return toolView(tool, this.#ports);
  }

  /** From usage, as by hand otherwise. @returns false where the limit does not follow usage (any more) */
  async adaptLimit(name: string, change: LimitAdaption): Promise<boolean> {
    const tool = this.live.get(name);
    if (tool === undefined || this.#closing || !(await adaptLimit(tool, change, this.#ports))) return false;
    for (const runId of tool.runs.keys()) this.#monitor.poke(runId);
    return true;
  }

  /** Runs that were starting while a limit of their tool followed usage, or was set, get it now. */
  async catchUp(name: string): Promise<void> {
    const tool = this.live.get(name);
    if (tool !== undefined && !this.#closing) await catchUp(tool, this.#ports);
  }

  async endContext(id: string): Promise<void> {
    const runs = this.liveRuns().filter((run) => run.context === id);
    if (runs.length === 0) throw new GovernorError('unknown_context', `no run belongs to a context ${id}`);
    await Promise.all(
      runs.map(async (run) =>
        this.live.get(run.tool)?.stop('context_ended', `stopped: its context ${id} ended`, run.id),
      ),
    );
  }

  budgets(): readonly BudgetView[] {
    return limitedBudgets(this.#budgets, this.#ports);
  }

  protected override budgetOf(context: string, runs: readonly Run[]): BudgetView {
    const budget = this.#budgets.of(context);
    return budget === null ? super.budgetOf(context, runs) : budgetView(budget, this.#ports);
  }

  async moveRun(id: string, context: string | null, by: string): Promise<RunView> {
    const assembled = [...this.live.values()].map(({ runs }) => runs.get(id)).find((found) => found !== undefined);
    if (assembled === undefined) return refuseToMove(this.run(id));
    await moveRun(assembled, context, by, this.#budgets, this.#ports);
    return runView(assembled.run, this.#ports);
  }

  async reload(): Promise<ReloadOutcome> {
    this.refuseWhenClosing();
    const outcome = await applyDefinitions(this, await this.#options.loadDefinitions(), this.#ports);
    this.#options.onTools?.(null);
    return outcome;
  }

  subscribe(lastId: number | null, onEvent: (event: EventView) => void): () => void {
    return this.#options.events.subscribe(lastId, onEvent);
  }

  /** Starts what is to start with the daemon; failures are on record and in the recovery's hands. */
  autostart(): void {
    for (const tool of this.live.values()) {
      if (!tool.definition.autostart || tool.definition.origin === 'run' || tool.state !== 'registered') continue;
      tool
        .activate(null)
        .catch((error: unknown) => this.#ports.log.warn({ tool: tool.name, err: error }, 'did not start'));
    }
  }

  /**
   * The daemon ends. `all`: every run is stopped. `managed`: direct runs stay, limited, for the next daemon.
   * @param hurry aborts what is left of the tools' time to end by themselves
   */
  async close(which: 'all' | 'managed', reason: EndReason = 'shutdown'): Promise<void> {
    this.#closing = true;
    const concerns = (run: Run): boolean => which === 'all' || run.init.mode === 'managed';
    const tools = [...this.live.values()];
    await Promise.all(
      tools.map((tool) =>
        tool.shutDown({ reason, message: 'stopped: Governor shuts down', graceMs: tool.definition.graceMs }, concerns),
      ),
    );
    for (const tool of this.live.values()) tool.abandon();
    this.#monitor.close();
    this.#budgets.close();
  }

  /** No more time to be polite. */
  hurry(): void {
    for (const tool of this.live.values()) tool.hurry();
  }

  #failuresOf(name: string): number[] {
    const failures = this.#failures.get(name) ?? [];
    this.#failures.delete(name);
    this.#failures.set(name, failures);
    const oldest = this.#failures.keys().next();
    if (this.#failures.size > TOOLS_MAX && oldest.done !== true) this.#failures.delete(oldest.value);
    return failures;
  }

  /** @throws GovernorError shutting_down */
  refuseWhenClosing(): void {
    if (this.#closing) throw new GovernorError('shutting_down', 'the daemon is shutting down');
  }

  /** A lowered limit went through the ladder first; its kernel cap follows when usage has come below it. */
  #setPendingCaps(run: Run): void {
    if (!run.capsPending || !capsFit(run)) return;
    run.capsPending = false;
    run.init.containment.limits.apply(run.enforced).then(
      (outcomes) => (run.outcomes = outcomes),
      (error: unknown) =>
        this.#ports.log.error({ tool: run.tool, run: run.id, err: error }, 'the kernel refused a limit'),
    );
  }
}
