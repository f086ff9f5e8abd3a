/** A Governor in memory: runs nothing, measures nothing, but answers and refuses like the real one. For API and CLI tests. */

import { GovernorError } from '../../lib/core/errors.ts';
import type { Governor, ReloadOutcome, ToolDefinition } from '../../lib/supervisor/governor.ts';
import type { BudgetView, EventView, RunView } from '../../lib/supervisor/views.ts';
import {
  AT,
  ended,
  FAKE_FILE,
  FAKE_HOST,
  FAKE_PROCESS,
  FAKE_SOCKET,
  patched,
  runView,
  toolView,
  usageView,
} from './fake-views.ts';
import type { Entry } from './fake-views.ts';

export { fakeDefinition, fakeParseLimits } from './fake-views.ts';

export const FAKE_DAEMON = 'fake0daemon';

export interface FakeGovernor extends Governor {
  emit(type: string, data?: Readonly<Record<string, unknown>>, tool?: string): EventView;
  /** What was asked of it, in order: `setLimits echo {"memory":1} by token default`. */
  readonly calls: readonly string[];
  /** The next reload answers or throws this. */
  reloadWith(outcome: ReloadOutcome | GovernorError): void;
  /** Limits that runs share, as they are to be shown. */
  shareWith(budgets: readonly BudgetView[]): void;
  /** Makes `tools()` throw, as a bug would. */
  breakWith(error: Error): void;
  readonly listeners: number;
}

export function createFakeGovernor(definitions: readonly ToolDefinition[] = []): FakeGovernor {
  const entries = new Map<string, Entry>();
  const events: EventView[] = [];
  const listeners = new Set<(event: EventView) => void>();
  const calls: string[] = [];
  const gone: RunView[] = [];
  let nextRun = 0;
  let reloadOutcome: ReloadOutcome | GovernorError = { changed: [], added: [], removed: [], notes: [] };
  let broken: Error | null = null;
  let budgets: readonly BudgetView[] = [];

  const find = (name: string): Entry => {
    const entry = entries.get(name);
    if (entry === undefined) throw new GovernorError('unknown_tool', `There is no tool ${JSON.stringify(name)}`);
    return entry;
  };
  const live = (entry: Entry): RunView[] => entry.runs.filter((run) => run.state === 'running');
  const emit = (type: string, data: Readonly<Record<string, unknown>> = {}, tool: string | null = null): EventView => {
    const event = { id: events.length + 1, daemon: FAKE_DAEMON, at: AT, type, tool, run: null, data };
    events.push(event);
    for (const listener of listeners) listener(event);
    return event;
  };
  const put = (definition: ToolDefinition): Entry => {
    const entry: Entry = { definition, limits: definition.limits, runs: [], lastEnd: null };
    entries.set(definition.name, entry);
    return entry;
  };
  const start = (entry: Entry, context: string | null): RunView => {
    nextRun += 1;
    const run = runView(entry, `run${String(nextRun).padStart(7, '0')}`, context);
    entry.runs.push(run);
    emit('run_started', { run: run.id }, entry.definition.name);
    return run;
  };
  const stop = (entry: Entry, runId: string | undefined): void => {
    if (runId !== undefined && !entry.runs.some((run) => run.id === runId)) {
      throw new GovernorError('unknown_run', `${entry.definition.name} has no run ${JSON.stringify(runId)}`);
    }
    entry.runs = entry.runs.map((run) => (run.state === 'running' && (runId ?? run.id) === run.id ? ended(run) : run));
    entry.lastEnd = entry.runs.at(-1)?.end ?? entry.lastEnd;
    emit('run_ended', {}, entry.definition.name);
  };
  for (const definition of definitions) put(definition);

  return {
    calls,
    emit: (type, data, tool) => emit(type, data, tool ?? null),
    reloadWith: (outcome) => void (reloadOutcome = outcome),
    shareWith: (views) => void (budgets = views),
    breakWith: (error) => void (broken = error),
    get listeners() {
      return listeners.size;
    },
    tools() {
      if (broken !== null) throw broken;
      return [...entries.values()].map(toolView);
    },
    tool: (name) => toolView(find(name)),
    run(id) {
      const found = [...entries.values()].flatMap((entry) => entry.runs).find((run) => run.id === id);
      if (found === undefined) throw new GovernorError('unknown_run', `There is no run ${JSON.stringify(id)}`);
      return found;
    },
    allRuns() {
      const all = [...entries.values()];
      return [
        ...all.flatMap(live),
        ...all.flatMap((entry) => entry.runs.filter((run) => run.state !== 'running').toReversed()),
        ...gone,
      ];
    },
    runs(name) {
      const entry = find(name);
      return [...live(entry), ...entry.runs.filter((run) => run.state !== 'running').toReversed()];
    },
    async register(definition) {
      calls.push(`register ${definition.name}`);
      if (entries.has(definition.name))
        throw new GovernorError('tool_exists', `There is a tool ${JSON.stringify(definition.name)} already`);
      return toolView(put(definition));
    },
    async unregister(name) {
      calls.push(`unregister ${name}`);
      const entry = find(name);
      gone.unshift(...entry.runs.map(ended));
      entries.delete(name);
    },
    async activate(name, { context }) {
      calls.push(`activate ${name} in ${context ?? '-'}`);
      return start(find(name), context);
    },
    async deactivate(name, runId) {
      calls.push(`deactivate ${name} ${runId ?? '-'}`);
      stop(find(name), runId);
      return toolView(find(name));
    },
    async restart(name, runId) {
      calls.push(`restart ${name} ${runId ?? '-'}`);
      stop(find(name), runId);
      start(find(name), null);
      return toolView(find(name));
    },
    async cleanup(name) {
      calls.push(`cleanup ${name}`);
      return toolView(find(name));
    },
    async setLimits(name, patch, by) {
      calls.push(`setLimits ${name} ${JSON.stringify(patch)} by ${by}`);
      const entry = find(name);
      entry.limits = { ...entry.limits, ...patched(patch) };
      return toolView(entry);
    },
    usage: () => [...entries.values()].map(usageView),
    usageOf: (name) => usageView(find(name)),
    processes: (name) => live(find(name)).map((run) => ({ ...FAKE_PROCESS, run: run.id })),
    sockets: (name) => live(find(name)).map((run) => ({ ...FAKE_SOCKET, run: run.id })),
    files: (name) => live(find(name)).map((run) => ({ ...FAKE_FILE, run: run.id })),
    logs(name, lines) {
      find(name);
      return ['first line', 'second line', 'third line'].slice(-lines);
    },
    contexts() {
      const runs = [...entries.values()].flatMap(live).filter((run) => run.context !== null);
      return [...new Set(runs.map((run) => run.context ?? ''))].map((id) => ({
        id,
        budget: null,
        runs: runs.filter((run) => run.context === id).map((run) => ({ tool: run.tool, run: run.id })),
      }));
    },
    async endContext(id) {
      const inContext = [...entries.values()].filter((entry) => live(entry).some((run) => run.context === id));
      if (inContext.length === 0)
        throw new GovernorError('unknown_context', `There is no context ${JSON.stringify(id)}`);
      for (const entry of inContext) for (const run of live(entry)) if (run.context === id) stop(entry, run.id);
    },
    budgets: () => budgets,
    async moveRun(id, context, by) {
      calls.push(`moveRun ${id} to ${context ?? '-'} by ${by}`);
      for (const entry of entries.values()) {
        const index = entry.runs.findIndex((run) => run.id === id);
        const run = entry.runs[index];
        if (run === undefined) continue;
        if (run.state !== 'running') throw new GovernorError('illegal_state', `run ${id} is ${run.state}`);
        return (entry.runs[index] = { ...run, context });
      }
      throw new GovernorError('unknown_run', `There is no run ${JSON.stringify(id)}`);
    },
    host: () => FAKE_HOST,
    async reload() {
      if (reloadOutcome instanceof GovernorError) throw reloadOutcome;
      return reloadOutcome;
    },
    subscribe(lastId, onEvent) {
      if (lastId !== null) for (const event of events.filter(({ id }) => id > lastId)) onEvent(event);
      listeners.add(onEvent);
      return () => void listeners.delete(onEvent);
    },
  };
}
