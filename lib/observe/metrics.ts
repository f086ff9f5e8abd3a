/**
 * Every metric name of Governor, and the only place that makes their text. The gauges of the tools are written straight
 * from a snapshot when they are asked for (metrics-text.ts), the counters are prom-client's, fed by the audit records.
 * Nothing here reads the kernel on behalf of a tool: a scrape shows the last sample, and says of which time it is.
 */

import type { Registry } from 'prom-client';
import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import Histogram from 'prom-client/lib/histogram.js';
import type { AuditRecord, Inventory } from '../core/audit-record.ts';
import { HOST_BUDGET } from '../core/budget.ts';
import { assertNever } from '../core/result.ts';
import { type BudgetSnapshot, budgetText } from './metrics-budgets.ts';
import { createCacheMetrics } from './cache-metrics.ts';
import type { CacheEvent, CacheSnapshot } from './cache-metrics.ts';
import { registerHistoryMetrics } from './history-metrics.ts';
import type { HistorySnapshot } from './history-metrics.ts';
import { type ToolSnapshot, ToolText } from './metrics-text.ts';
import { ToolCounter, ToolHistogram } from './metrics-counter.ts';
import { registerProcessMetrics } from './process-metrics.ts';
import type { Sink } from './recorder.ts';

export type { ConnectionCounts, ResourceSnapshot, ToolSnapshot } from './metrics-text.ts';

export interface MetricsOptions {
  readonly registry: Registry;
  readonly version: string;
  /** All registered tools as they were last sampled. Called once a scrape; must be quick and must not throw. */
  readonly snapshot: () => Iterable<ToolSnapshot>;
  /** The same of the limits that runs share. */
  readonly budgets?: () => readonly BudgetSnapshot[];
  /** The cache of answers as it is now; null: there is none. */
  readonly cache?: () => CacheSnapshot | null;
  /** The history of usage as it is now. */
  readonly history?: () => HistorySnapshot;
}

export interface Metrics extends Sink {
  /** One pass of the sampler over the runs that were due, seconds. */
  observeSampleDuration(seconds: number): void;
  /** OOM kills that the kernel reported in a tool's containment since they were last told. */
  observeOomKills(tool: string, kills: number): void;
  /** A request of a client that a managed tool was to work for. @param seconds from its coming to its answer, waiting included */
  observeCall(tool: string, outcome: string, seconds: number): void;
  /** What became of a request, or of an entry, of the cache of answers. */
  observeCache(tool: string, event: CacheEvent): void;
  setConfigReload(successful: boolean): void;
  /** Removes every series of the tool. A lifecycle record to `gone` does the same. */
  removeTool(tool: string): void;
  /** The text of a scrape, Prometheus format 0.0.4. */
  render(): Promise<string>;
  readonly contentType: string;
}

/** Kinds of what a cleanup held; anything else is counted as `other`, so that the label stays bounded. */
const INVENTORY_KINDS = new Set([
  'processes',
  'file_handles',
  'sockets',
  'temp_files',
  'temp_bytes',
  'memory_bytes',
  'cgroups',
  'handles',
]);
const STRATEGIES = new Set(['restart', 'restart-on-demand', 'degrade', 'stop']);

/** 1 ms to 60 s: from an empty tree to one that had to be killed after its grace. */
const CLEANUP_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** 0.5 ms to 10 minutes: from an echo to a build. */
const CALL_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600];
/** 10 µs (one tool) to 1 s (thousands of processes without cgroups). */
const SAMPLE_BUCKETS = [0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1];

export function createMetrics(options: MetricsOptions): Metrics {
  const { registry } = options;
  const toolText = new ToolText();
  const instruments = createInstruments(registry);
  const { perTool, held, reclaimed, sampleDuration, reload } = instruments;
  const cache = createCacheMetrics(registry, options.cache ?? (() => null));
  const forgetful = [...Object.values(perTool), ...cache.perTool];
  instruments.build.set({ version: options.version, node: process.versions.node }, 1);
  reload.set(1);
  for (const kind of [...INVENTORY_KINDS, 'other']) {
    held.inc({ kind }, 0);
    reclaimed.inc({ kind }, 0);
  }
  registerProcessMetrics(registry);
  if (options.history !== undefined) registerHistoryMetrics(registry, options.history);

  function removeTool(tool: string): void {
    toolText.forget(tool);
    for (const counter of forgetful) counter.remove(tool);
  }

  return {
    contentType: registry.contentType,
    write(record) {
      count(record, instruments, removeTool);
    },
    observeSampleDuration(seconds) {
      if (seconds >= 0) sampleDuration.observe(seconds);
    },
    observeOomKills(tool, kills) {
      perTool.oomKills.add({ tool }, kills);
    },
    observeCall(tool, outcome, seconds) {
      perTool.calls.add({ tool, outcome }, 1);
      perTool.callDuration.observe(tool, seconds);
    },
    observeCache: (tool, event) => cache.observe(tool, event),
    setConfigReload(successful) {
      reload.set(successful ? 1 : 0);
    },
    removeTool,
    async render() {
      const tools = [...options.snapshot()];
      const names = new Set(tools.map(({ tool }) => tool));
      // A record that came late must not leave a series of a tool that is gone.
      for (const counter of forgetful) counter.keep(names);
      toolText.keep(names);
      for (const tool of names) perTool.oomKills.add({ tool }, 0);
      return `${await registry.metrics()}\n${toolText.render(tools)}${budgetText(options.budgets?.() ?? [])}`;
    },
  };
}

type Instruments = ReturnType<typeof createInstruments>;

function createInstruments(registry: Registry) {
  const registers = [registry];
  return {
    perTool: {
      transitions: new ToolCounter({
        name: 'governor_stage_transitions_total',
        help: 'Stages entered, upwards and downwards, by resource and the stage entered.',
        labelNames: ['tool', 'resource', 'stage'],
        registers,
      }),
      actions: new ToolCounter({
        name: 'governor_actions_total',
        help: 'Actions of the ladder by outcome; dry_run: decided but not done.',
        labelNames: ['tool', 'resource', 'action', 'outcome'],
        registers,
      }),
      recoveries: new ToolCounter({
        name: 'governor_recoveries_total',
        help: 'Steps of recovery by strategy and outcome.',
        labelNames: ['tool', 'strategy', 'outcome'],
        registers,
      }),
      oomKills: new ToolCounter({
        name: 'governor_oom_kills_total',
        help: 'Processes of the tool that the kernel killed for lack of memory.',
        labelNames: ['tool'],
        registers,
      }),
      anomalies: new ToolCounter({
        name: 'governor_anomalies_total',
        help: 'Usage far outside the history of the tool itself, by resource.',
        labelNames: ['tool', 'resource'],
        registers,
      }),
      calls: new ToolCounter({
        name: 'governor_tool_calls_total',
        help: 'Calls of clients (tools/call, prompts/get, resources/read, completion/complete) by outcome; tool_error: the tool said so itself.',
        labelNames: ['tool', 'outcome'],
        registers,
      }),
      callDuration: new ToolHistogram({
        name: 'governor_tool_call_duration_seconds',
        help: 'Calls of clients, from their coming to their answer, waiting included.',
        buckets: CALL_BUCKETS,
        registers,
      }),
    },
    cleanupDuration: new Histogram({
      name: 'governor_cleanup_duration_seconds',
      help: 'Cleanup of a run from decision to proven empty, the grace given to the tool excluded.',
      buckets: CLEANUP_BUCKETS,
      registers,
    }),
    held: new Counter({
      name: 'governor_cleanup_held_total',
      help: 'What ended runs still held when their cleanup began, by kind; kinds ending in _bytes are bytes, the others counts.',
      labelNames: ['kind'],
      registers,
    }),
    reclaimed: new Counter({
      name: 'governor_cleanup_reclaimed_total',
      help: 'What cleanups gave back, by kind; kinds ending in _bytes are bytes, the others counts.',
      labelNames: ['kind'],
      registers,
    }),
    budgetStops: new Counter({
      name: 'governor_budget_stops_total',
      help: 'Runs stopped for a limit that they share with others, by whose it is (host, context), resource and stage.',
      labelNames: ['budget', 'resource', 'stage'],
      registers,
    }),
    sampleDuration: new Histogram({
      name: 'governor_sample_duration_seconds',
      help: 'Time of one pass of the sampler over the runs that were due.',
      buckets: SAMPLE_BUCKETS,
      registers,
    }),
    reload: new Gauge({
      name: 'governor_config_last_reload_successful',
      help: '1 when the configuration was valid the last time it was read.',
      registers,
    }),
    build: new Gauge({
      name: 'governor_build_info',
      help: 'Always 1; the labels tell the version of Governor and of Node.js.',
      labelNames: ['version', 'node'],
      registers,
    }),
  };
}

function count(record: AuditRecord, instruments: Instruments, removeTool: (tool: string) => void): void {
  const { perTool, held, reclaimed, cleanupDuration } = instruments;
  switch (record.kind) {
    case 'stage':
      perTool.transitions.add({ tool: record.tool, resource: record.resource, stage: record.to }, 1);
      return;
    case 'action': {
      const { tool, resource, action, outcome } = record;
      perTool.actions.add({ tool, resource, action, outcome }, 1);
      return;
    }
    case 'cleanup':
      cleanupDuration.observe(Math.max(0, record.report.durationMs) / 1000);
      addInventory(held, record.report.held);
      addInventory(reclaimed, record.report.reclaimed);
      return;
    case 'recovery': {
      const strategy = STRATEGIES.has(record.strategy) ? record.strategy : 'other';
      perTool.recoveries.add({ tool: record.tool, strategy, outcome: record.outcome }, 1);
      return;
    }
    case 'lifecycle':
      if (record.to === 'gone' && record.run === undefined) removeTool(record.tool);
      return;
    case 'anomaly':
      perTool.anomalies.add({ tool: record.tool, resource: record.resource }, 1);
      return;
    case 'daemon':
    case 'intent':
    case 'outcome':
    case 'limits':
    case 'sign_in':
    case 'leak':
      return;
    case 'budget':
      if (record.event === 'action' && record.run !== undefined && record.outcome === 'done')
        instruments.budgetStops.inc({
          budget: kindOfBudget(record.budget),
          resource: record.resource,
          stage: record.stage,
        });
      return;
    default:
      assertNever(record);
  }
}

/** Ids of contexts are no labels: there is no end of them. */
function kindOfBudget(budget: string): 'host' | 'context' {
  return budget === HOST_BUDGET ? 'host' : 'context';
}

function addInventory(counter: Counter<'kind'>, inventory: Inventory): void {
  for (const [kind, amount] of Object.entries(inventory)) {
    if (amount > 0 && Number.isFinite(amount))
      counter.inc({ kind: INVENTORY_KINDS.has(kind) ? kind : 'other' }, amount);
  }
}
