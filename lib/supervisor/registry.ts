/** All tools by name: the Governor that REST, the command line and the launch door speak to. Thin: tools do the work. */

import type { EndReason } from '../core/audit-record.ts';
import { GovernorError } from '../core/errors.ts';
import type { HostReport } from '../os/backend.ts';
import { applyDefinitions } from './apply-definitions.ts';
import type { Governor, LimitPatch, ReloadOutcome, ToolDefinition } from './governor.ts';
import { changeLimits } from './change-limits.ts';
import { Monitor } from './monitor.ts';
import type { SupervisorPorts } from './ports.ts';
import { createResponder } from './responder.ts';
import type { Run } from './run.ts';
import type { DirectStart } from './start.ts';
import { Tool } from './tool.ts';
import { runView } from './run-view.ts';
import { toolView, usageView } from './tool-view.ts';
import type { ContextView, EventView, RunView, ToolView, UsageView } from './views.ts';

/** Bounds the daemon's memory against a client that registers in a loop. */
const TOOLS_MAX = 20_000;
const PAST_RUNS_KEPT = 100;

export interface RegistryOptions {
  readonly ports: SupervisorPorts;
  /** Reads the file again; the registry applies what it finds. @throws GovernorError invalid_config */
  loadDefinitions(): Promise<readonly ToolDefinition[]>;
  readonly events: { subscribe(lastId: number | null, onEvent: (event: EventView) => void): () => void };
  onPass(durationMs: number): void;
  onSample(run: Run): void;
  onForgotten(tool: string): void;
}

export class Registry implements Governor {
  readonly #options: RegistryOptions;
  readonly #ports: SupervisorPorts;
  readonly #tools = new Map<string, Tool>();
  readonly #monitor: Monitor;
  readonly #context;
  readonly #failures = new Map<string, number[]>();
  /** Runs of tools that are gone: whoever started one with `governor run` asks afterwards why it was stopped. */
  readonly #past: RunView[] = [];
  #closing = false;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#ports = options.ports;
    this.#monitor = new Monitor({
      clock: options.ports.clock,
      facts: options.ports.facts,
      baseMs: options.ports.sampleIntervalMs,
      onFinding: (run, finding) => this.#tools.get(run.tool)?.handle(run, finding),
      onSample: (run) => {
        this.#setPendingCaps(run);
        options.onSample(run);
      },
      onPass: (durationMs) => options.onPass(durationMs),
    });
    this.#context = {
      ports: options.ports,
      monitor: this.#monitor,
      responder: createResponder(options.ports),
      failuresOf: (name: string) => this.#failuresOf(name),
      onGone: (tool: Tool) => {
        this.#tools.delete(tool.name);
        this.#past.unshift(...tool.ended);
        this.#past.length = Math.min(this.#past.length, PAST_RUNS_KEPT);
        options.onForgotten(tool.name);
      },
    };
  }

  tools(): readonly ToolView[] {
    return [...this.#tools.values()].map((tool) => toolView(tool, this.#ports));
  }

  tool(name: string): ToolView {
    return toolView(this.#find(name), this.#ports);
  }

  /** Live objects, for the room next door (reconcile, apply). */
  get live(): ReadonlyMap<string, Tool> {
    return this.#tools;
  }

  run(id: string): RunView {
    for (const tool of this.#tools.values()) {
      const live = tool.runs.get(id);
      if (live !== undefined) return runView(live.run, this.#ports);
      const ended = tool.ended.find((view) => view.id === id);
      if (ended !== undefined) return ended;
    }
    const past = this.#past.find((view) => view.id === id);
    if (past !== undefined) return past;
    throw new GovernorError('unknown_run', `no run has the id ${id}`);
  }

  /** Live runs, then ended ones, newest first. */
  runs(name: string): readonly RunView[] {
    const tool = this.#find(name);
    return [...[...tool.runs.values()].map(({ run }) => runView(run, this.#ports)), ...tool.ended];
  }

  register(definition: ToolDefinition): Promise<ToolView> {
    return Promise.resolve(toolView(this.add(definition), this.#ports));
  }

  /** @throws GovernorError tool_exists, too_many_tools, shutting_down */
  add(definition: ToolDefinition): Tool {
    this.#refuseWhenClosing();
    if (this.#tools.has(definition.name))
      throw new GovernorError('tool_exists', `a tool named ${definition.name} is registered already`);
    if (this.#tools.size >= TOOLS_MAX)
      throw new GovernorError('too_many_tools', `${TOOLS_MAX} tools are registered; unregister some`);
    const tool = new Tool(definition, this.#context);
    this.#tools.set(definition.name, tool);
    this.#ports.recorder.record({
      kind: 'lifecycle',
      tool: definition.name,
      from: 'unknown',
      to: 'registered',
      event: 'registered',
      detail: { origin: definition.origin },
    });
    return tool;
  }

  async unregister(name: string): Promise<void> {
    await this.#find(name).unregister();
  }

  async activate(name: string, options: { readonly context: string | null }): Promise<RunView> {
    this.#refuseWhenClosing();
    const tool = this.#find(name);
    if (tool.definition.origin === 'run')
      throw new GovernorError(
        'not_managed',
        `${name} is started by its client with governor run; the daemon cannot start it`,
      );
    return runView(await tool.activate(options.context), this.#ports);
  }

  /** A launcher at the door: its tool is registered when it is not. */
  async launch(definition: ToolDefinition, request: DirectStart): Promise<Run> {
    this.#refuseWhenClosing();
    const tool = this.#tools.get(definition.name) ?? this.add(definition);
    // Flags hold for this run; the entry of the file stays as it is.
    if (tool.definition.origin === 'run') tool.definition = definition;
    return tool.adoptLauncher(request, definition);
  }

  async deactivate(name: string, runId?: string): Promise<ToolView> {
    const tool = this.#find(name);
    await tool.stop('requested', 'stopped on request', runId);
    return toolView(tool, this.#ports);
  }

  async restart(name: string, runId?: string): Promise<ToolView> {
    const tool = this.#find(name);
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
    const tool = this.#find(name);
    await tool.cleanup();
    return this.#tools.has(name)
      ? toolView(tool, this.#ports)
      : { ...toolView(tool, this.#ports), state: 'unregistering' };
  }

  async setLimits(name: string, patch: LimitPatch, by: string): Promise<ToolView> {
    const tool = this.#find(name);
    await changeLimits(tool, patch, by, this.#ports);
    for (const runId of tool.runs.keys()) this.#monitor.poke(runId);
    return toolView(tool, this.#ports);
  }

  usage(): readonly UsageView[] {
    return [...this.#tools.values()].map((tool) => usageView(tool, this.#ports));
  }

  usageOf(name: string): UsageView {
    return usageView(this.#find(name), this.#ports);
  }

  processes(name: string) {
    return this.#liveRuns(name).flatMap((run) =>
      run.init.containment.inspect.processes().map((view) => ({ ...view, run: run.id })),
    );
  }

  sockets(name: string) {
    return this.#liveRuns(name).flatMap((run) =>
      run.init.containment.inspect.sockets().map((view) => ({ ...view, run: run.id })),
    );
  }

  files(name: string) {
    return this.#liveRuns(name).flatMap((run) =>
      run.init.containment.inspect.files().map((view) => ({ ...view, run: run.id })),
    );
  }

  logs(name: string, lines: number): readonly string[] {
    const tool = this.#find(name);
    if (tool.definition.origin === 'run')
      throw new GovernorError('not_managed', `the stderr of ${name} belongs to its client; Governor never sees it`);
    return tool.logs.last(lines);
  }

  contexts(): readonly ContextView[] {
    const contexts = new Map<string, { tool: string; run: string }[]>();
    for (const run of this.#allRuns()) {
      if (run.init.context === null) continue;
      contexts.set(run.init.context, [...(contexts.get(run.init.context) ?? []), { tool: run.tool, run: run.id }]);
    }
    return [...contexts].map(([id, runs]) => ({ id, runs }));
  }

  async endContext(id: string): Promise<void> {
    const runs = this.#allRuns().filter((run) => run.init.context === id);
    if (runs.length === 0) throw new GovernorError('unknown_context', `no run belongs to a context ${id}`);
    await Promise.all(
      runs.map(async (run) =>
        this.#tools.get(run.tool)?.stop('context_ended', `stopped: its context ${id} ended`, run.id),
      ),
    );
  }

  host(): HostReport {
    return this.#ports.host();
  }

  async reload(): Promise<ReloadOutcome> {
    this.#refuseWhenClosing();
    return applyDefinitions(this, await this.#options.loadDefinitions(), this.#ports);
  }

  subscribe(lastId: number | null, onEvent: (event: EventView) => void): () => void {
    return this.#options.events.subscribe(lastId, onEvent);
  }

  /** Starts what is to start with the daemon; failures are on record and in the recovery's hands. */
  autostart(): void {
    for (const tool of this.#tools.values()) {
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
    const tools = [...this.#tools.values()];
    await Promise.all(
      tools.map((tool) =>
        tool.shutDown({ reason, message: 'stopped: Governor shuts down', graceMs: tool.definition.graceMs }, concerns),
      ),
    );
    for (const tool of this.#tools.values()) tool.abandon();
    this.#monitor.close();
  }

  /** No more time to be polite. */
  hurry(): void {
    for (const tool of this.#tools.values()) tool.hurry();
  }

  #failuresOf(name: string): number[] {
    const failures = this.#failures.get(name) ?? [];
    this.#failures.delete(name);
    this.#failures.set(name, failures);
    const oldest = this.#failures.keys().next();
    if (this.#failures.size > TOOLS_MAX && oldest.done !== true) this.#failures.delete(oldest.value);
    return failures;
  }

  #find(name: string): Tool {
    const tool = this.#tools.get(name);
    if (tool === undefined) throw new GovernorError('unknown_tool', `no tool is named ${name}`, { data: { name } });
    return tool;
  }

  #allRuns(): Run[] {
    return [...this.#tools.values()].flatMap((tool) => [...tool.runs.values()].map(({ run }) => run));
  }

  #liveRuns(name: string): Run[] {
    return [...this.#find(name).runs.values()].map(({ run }) => run).filter((run) => run.alive);
  }

  #refuseWhenClosing(): void {
    if (this.#closing) throw new GovernorError('shutting_down', 'the daemon is shutting down');
  }

  /** A lowered limit went through the ladder first; its kernel cap follows when usage has come below it. */
  #setPendingCaps(run: Run): void {
    if (!run.capsPending || !run.capsFit()) return;
    run.capsPending = false;
    run.init.containment.limits.apply(run.enforced).then(
      (outcomes) => (run.outcomes = outcomes),
      (error: unknown) =>
        this.#ports.log.error({ tool: run.tool, run: run.id, err: error }, 'the kernel refused a limit'),
    );
  }
}
