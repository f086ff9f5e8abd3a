/** All tools by name, and what can be read of them. Changes nothing, reads nothing from the kernel but what is asked for. */

import { GovernorError } from '../core/errors.ts';
import type { HostReport } from '../os/backend.ts';
import { unlimitedView } from './budget-view.ts';
import type { Governor } from './governor.ts';
import { newestFirst, PastRuns } from './past-runs.ts';
import type { SupervisorPorts } from './ports.ts';
import type { Run } from './run.ts';
import { runView } from './run-view.ts';
import type { Tool } from './tool.ts';
import { toolView, usageView } from './tool-view.ts';
import type { BudgetView, ContextView, RunView, ToolView, UsageView } from './views.ts';

type Reads =
  | 'tools'
  | 'tool'
  | 'run'
  | 'runs'
  | 'allRuns'
  | 'usage'
  | 'usageOf'
  | 'processes'
  | 'sockets'
  | 'files'
  | 'logs'
  | 'contexts'
  | 'host';

export class ToolTable implements Pick<Governor, Reads> {
  readonly #ports: SupervisorPorts;
  readonly #tools = new Map<string, Tool>();
  readonly #past = new PastRuns();

  constructor(ports: SupervisorPorts) {
    this.#ports = ports;
  }

  tools(): readonly ToolView[] {
    return [...this.#tools.values()].map((tool) => toolView(tool, this.#ports));
  }

  tool(name: string): ToolView {
    return toolView(this.find(name), this.#ports, true);
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
    const past = this.#past.find(id);
    if (past !== undefined) return past;
    throw new GovernorError('unknown_run', `no run has the id ${id}`);
  }

  /** Live runs, then ended ones, newest first; those of a tool that is gone as long as they are kept. */
  runs(name: string): readonly RunView[] {
    const tool = this.#tools.get(name);
    const past = this.#past.of(name);
    if (tool === undefined && past.length > 0) return past;
    const { runs, ended } = tool ?? this.find(name);
    return [...[...runs.values()].map(({ run }) => runView(run, this.#ports)), ...newestFirst([...ended, ...past])];
  }

  allRuns(): readonly RunView[] {
    const ended = [...this.#tools.values()].flatMap((tool) => tool.ended);
    return [...this.liveRuns().map((run) => runView(run, this.#ports)), ...newestFirst([...ended, ...this.#past.all])];
  }

  usage(): readonly UsageView[] {
    return [...this.#tools.values()].map((tool) => usageView(tool, this.#ports));
  }

  usageOf(name: string): UsageView {
    return usageView(this.find(name), this.#ports);
  }

  processes(name: string) {
    return this.#living(name).flatMap((run) =>
      run.init.containment.inspect.processes().map((view) => ({ ...view, run: run.id })),
    );
  }

  sockets(name: string) {
    return this.#living(name).flatMap((run) =>
      run.init.containment.inspect.sockets().map((view) => ({ ...view, run: run.id })),
    );
  }

  files(name: string) {
    return this.#living(name).flatMap((run) =>
      run.init.containment.inspect.files().map((view) => ({ ...view, run: run.id })),
    );
  }

  logs(name: string, lines: number): readonly string[] {
    const tool = this.find(name);
    if (tool.definition.origin === 'run')
      throw new GovernorError('not_managed', `the stderr of ${name} belongs to its client; Governor never sees it`);
    return tool.logs.last(lines);
  }

  contexts(): readonly ContextView[] {
    const contexts = new Map<string, Run[]>();
    for (const run of this.liveRuns()) {
      if (run.context === null) continue;
      contexts.set(run.context, [...(contexts.get(run.context) ?? []), run]);
    }
    return [...contexts].map(([id, runs]) => ({
      id,
      budget: this.budgetOf(id, runs),
      runs: runs.map((run) => ({ tool: run.tool, run: run.id })),
    }));
  }

  protected budgetOf(context: string, runs: readonly Run[]): BudgetView {
    return unlimitedView(context, runs, this.#ports);
  }

  host(): HostReport {
    return this.#ports.host();
  }

  protected enter(tool: Tool): void {
    this.#tools.set(tool.name, tool);
  }

  /** What is left of it are its ended runs. */
  protected forget(tool: Tool): void {
    this.#tools.delete(tool.name);
    this.#past.add(tool.ended);
  }

  /** @throws GovernorError unknown_tool */
  find(name: string): Tool {
    const tool = this.#tools.get(name);
    if (tool === undefined) throw new GovernorError('unknown_tool', `no tool is named ${name}`, { data: { name } });
    return tool;
  }

  protected liveRuns(): Run[] {
    return [...this.#tools.values()].flatMap((tool) => [...tool.runs.values()].map(({ run }) => run));
  }

  #living(name: string): Run[] {
    return [...this.find(name).runs.values()].map(({ run }) => run).filter((run) => run.alive);
  }
}
