/**
 * The gauges of the tools as Prometheus text, written from a snapshot. prom-client would hash and escape some sixty
 * label sets a tool at every scrape; here the part of each line before the value is made once a tool and kept.
 * Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text, 0.0.4)
 */

import { STAGES, type Stage } from '../core/ladder.ts';
import { LEAK_RESOURCES, type LeakResource } from '../core/leak-test.ts';
import { RESOURCES, type Resource } from '../core/resource.ts';
import type { ToolState } from '../core/tool-state.ts';

/** A resource of a tool over all its runs, as in `ResourceUsageView`, in the unit of the resource. */
export interface ResourceSnapshot {
  readonly resource: Resource;
  /** null where there is no reading: the series is absent then. */
  readonly usage: number | null;
  /** null without a limit: limit, ratio and stage are absent then. */
  readonly limit: number | null;
  readonly ratio: number | null;
  readonly stage: Stage;
}

export interface ToolSnapshot {
  readonly tool: string;
  readonly state: ToolState;
  /** Runs that have not ended. */
  readonly runs: number;
  /** Of all runs that the tool had in this daemon, ended ones included, so that it never falls; null where not measured. */
  readonly cpuSeconds: number | null;
  /** Wall time of the oldest reading shown, milliseconds since the Unix epoch; null when never sampled. */
  readonly lastSampleAtMs: number | null;
  readonly resources: Iterable<ResourceSnapshot>;
  /** Suspected of leaking these; absent while nothing of it is watched. */
  readonly leaks?: ReadonlySet<LeakResource>;
  /** Conversations of the daemon with servers of it; absent for tools that it does not serve. */
  readonly connections?: ConnectionCounts;
}

export interface ConnectionCounts {
  readonly initializing: number;
  readonly ready: number;
  readonly shutdown: number;
}

const CONNECTION_STATES = ['initializing', 'ready', 'shutdown'] as const;

const STATES = Object.keys({
  registered: true,
  activating: true,
  active: true,
  deactivating: true,
  recovering: true,
  failed: true,
  unregistering: true,
} satisfies Record<ToolState, true>) as readonly ToolState[];

/** The gauge that shows the usage of a resource. CPU has none: its seconds are a counter, its share is the ratio. */
const USAGE_METRIC: Readonly<Record<Exclude<Resource, 'cpu'>, { readonly name: string; readonly help: string }>> = {
  memory: { name: 'governor_tool_memory_bytes', help: 'Memory of the tool that cannot be reclaimed.' },
  file_handles: { name: 'governor_tool_open_fds', help: 'Open file descriptors of all processes of the tool.' },
  sockets: { name: 'governor_tool_sockets', help: 'Distinct sockets of the tool.' },
  runtime: {
    name: 'governor_tool_runtime_seconds',
    help: 'Time since the activation of the tool, the longest of its runs.',
  },
  temp_storage: {
    name: 'governor_tool_temp_bytes',
    help: 'Bytes in the temporary directories of the tool, deleted open files included.',
  },
  tasks: { name: 'governor_tool_tasks', help: 'Processes and threads of the tool.' },
};

/** From the unit of the resource to that of the metric: percent of a core to cores, milliseconds to seconds. */
export const SCALE: Readonly<Record<Resource, number>> = {
  memory: 1,
  cpu: 1 / 100,
  file_handles: 1,
  sockets: 1,
  runtime: 1 / 1000,
  temp_storage: 1,
  tasks: 1,
};

const LIMIT_HELP =
  'Limit of the tool. memory, temp_storage: bytes; cpu: cores (CPU seconds per second); runtime: seconds; file_handles, sockets, tasks: count.';

/** A metric and the lines that it has in this scrape. */
export class Family {
  readonly #head: string;
  #lines = '';

  constructor(name: string, type: 'gauge' | 'counter', help: string) {
    this.#head = `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
  }

  add(start: string, value: number): void {
    this.#lines += `${start}${value}\n`;
  }

  addLines(lines: string): void {
    this.#lines += lines;
  }

  /** Nothing for a metric without lines. */
  take(): string {
    const text = this.#lines === '' ? '' : `${this.#head}${this.#lines}\n`;
    this.#lines = '';
    return text;
  }
}

/** The starts of all lines that a tool can have. */
interface Starts {
  readonly cpuSeconds: string;
  readonly runs: string;
  readonly lastSample: string;
  readonly states: OneOf<ToolState>;
  readonly connections: Readonly<Record<keyof ConnectionCounts, string>>;
  readonly resources: Readonly<Record<Resource, ResourceStarts>>;
  readonly leaks: Readonly<Record<LeakResource, string>>;
}

interface ResourceStarts {
  readonly usage: string;
  readonly limit: string;
  readonly ratio: string;
  readonly stages: OneOf<Stage>;
}

/** The lines of a set of which one is 1 and the others are 0, made once for each that is the one. */
class OneOf<Name extends string> {
  readonly #starts: readonly (readonly [Name, string])[];
  readonly #lines = new Map<Name, string>();

  constructor(names: readonly Name[], startOf: (name: Name) => string) {
    this.#starts = names.map((name) => [name, startOf(name)]);
  }

  lines(one: Name): string {
    const kept = this.#lines.get(one);
    if (kept !== undefined) return kept;
    const made = this.#starts.map(([name, start]) => `${start}${name === one ? 1 : 0}\n`).join('');
    this.#lines.set(one, made);
    return made;
  }
}

export class ToolText {
  readonly #starts = new Map<string, Starts>();
  readonly #usage = new Map<Resource, Family>(
    Object.entries(USAGE_METRIC).map(([resource, { name, help }]) => [
      resource as Resource,
      new Family(name, 'gauge', help),
    ]),
  );
  readonly #cpuSeconds = new Family(
    'governor_tool_cpu_seconds_total',
    'counter',
    'CPU time of the tool, ended processes included.',
  );
  readonly #limit = new Family('governor_tool_limit', 'gauge', LIMIT_HELP);
  readonly #ratio = new Family(
    'governor_tool_usage_ratio',
    'gauge',
    'Usage over limit, the highest of the runs of the tool.',
  );
  readonly #stage = new Family(
    'governor_tool_stage',
    'gauge',
    '1 for the stage that the resource of the tool is in, 0 for the others.',
  );
  readonly #state = new Family(
    'governor_tool_state',
    'gauge',
    '1 for the state that the tool is in, 0 for the others.',
  );
  readonly #leaks = new Family(
    'governor_leak_suspected',
    'gauge',
    '1 for a resource that a run of the tool is suspected of leaking, 0 for the others.',
  );
  readonly #runs = new Family('governor_tool_runs', 'gauge', 'Runs of the tool that have not ended.');
  readonly #connections = new Family(
    'governor_pool_connections',
    'gauge',
    'Conversations with servers of the tool, by their state.',
  );
  readonly #lastSample = new Family(
    'governor_tool_last_sample_timestamp_seconds',
    'gauge',
    'When the oldest reading shown for the tool was taken.',
  );

  render(tools: Iterable<ToolSnapshot>): string {
    for (const tool of tools) this.#add(tool);
    const families = [...this.#usage.values(), this.#cpuSeconds, this.#limit, this.#ratio, this.#stage, this.#state];
    return [...families, this.#leaks, this.#runs, this.#connections, this.#lastSample]
      .map((family) => family.take())
      .join('');
  }

  forget(tool: string): void {
    this.#starts.delete(tool);
  }

  keep(tools: ReadonlySet<string>): void {
    for (const tool of this.#starts.keys()) if (!tools.has(tool)) this.#starts.delete(tool);
  }

  #add(tool: ToolSnapshot): void {
    const starts = this.#startsOf(tool.tool);
    this.#state.addLines(starts.states.lines(tool.state));
    this.#runs.add(starts.runs, tool.runs);
    if (tool.connections !== undefined)
      for (const state of CONNECTION_STATES) this.#connections.add(starts.connections[state], tool.connections[state]);
    if (tool.leaks !== undefined)
      for (const resource of LEAK_RESOURCES) this.#leaks.add(starts.leaks[resource], tool.leaks.has(resource) ? 1 : 0);
    if (isValue(tool.cpuSeconds)) this.#cpuSeconds.add(starts.cpuSeconds, tool.cpuSeconds);
    if (isValue(tool.lastSampleAtMs)) this.#lastSample.add(starts.lastSample, tool.lastSampleAtMs / 1000);
    for (const resource of tool.resources) this.#addResource(starts.resources[resource.resource], resource);
  }

  #addResource(starts: ResourceStarts, { resource, usage, limit, ratio, stage }: ResourceSnapshot): void {
    if (isValue(usage)) this.#usage.get(resource)?.add(starts.usage, usage * SCALE[resource]);
    if (!isValue(limit)) return;
    this.#limit.add(starts.limit, limit * SCALE[resource]);
    if (isValue(ratio)) this.#ratio.add(starts.ratio, ratio);
    this.#stage.addLines(starts.stages.lines(stage));
  }

  #startsOf(tool: string): Starts {
    const kept = this.#starts.get(tool);
    if (kept !== undefined) return kept;
    const made = makeStarts(`tool="${escapeLabel(tool)}"`);
    this.#starts.set(tool, made);
    return made;
  }
}

function makeStarts(tool: string): Starts {
  return {
    cpuSeconds: `governor_tool_cpu_seconds_total{${tool}} `,
    runs: `governor_tool_runs{${tool}} `,
    lastSample: `governor_tool_last_sample_timestamp_seconds{${tool}} `,
    states: new OneOf(STATES, (state) => `governor_tool_state{${tool},state="${state}"} `),
    connections: {
      initializing: `governor_pool_connections{${tool},state="initializing"} `,
      ready: `governor_pool_connections{${tool},state="ready"} `,
      shutdown: `governor_pool_connections{${tool},state="shutdown"} `,
    },
    resources: Object.fromEntries(
      RESOURCES.map((resource) => [resource, resourceStarts(tool, resource)]),
    ) as Starts['resources'],
    leaks: Object.fromEntries(
      LEAK_RESOURCES.map((resource) => [resource, `governor_leak_suspected{${tool},resource="${resource}"} `]),
    ) as Starts['leaks'],
  };
}

function resourceStarts(tool: string, resource: Resource): ResourceStarts {
  const labels = `${tool},resource="${resource}"`;
  return {
    usage: resource === 'cpu' ? '' : `${USAGE_METRIC[resource].name}{${tool}} `,
    limit: `governor_tool_limit{${labels}} `,
    ratio: `governor_tool_usage_ratio{${labels}} `,
    stages: new OneOf(STAGES, (stage) => `governor_tool_stage{${labels},stage="${stage}"} `),
  };
}

function isValue(value: number | null): value is number {
  return value !== null && Number.isFinite(value);
}

/** Backslash, quote and line feed, as the format has it. */
function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
