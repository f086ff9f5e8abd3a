/** The documents and definitions of the fake governor. */

import { DEFAULT_RECOVERY } from '../../config/defaults.ts';
import { DEFAULT_THRESHOLDS } from '../../lib/core/ladder.ts';
import type { LadderSettings, ResolvedLimit, ResolvedLimits } from '../../lib/core/limits.ts';
import { RESOURCES, UNIT } from '../../lib/core/resource.ts';
import type { Resource } from '../../lib/core/resource.ts';
import { DEFAULT_ACTIONS } from '../../lib/core/response.ts';
import { err, ok } from '../../lib/core/result.ts';
import type { Result } from '../../lib/core/result.ts';
import type { Problem } from '../../lib/core/errors.ts';
import type { FileView, ProcessView, SocketView } from '../../lib/os/inspector.ts';
import type { HostReport } from '../../lib/os/backend.ts';
import type { LimitPatch, ToolDefinition } from '../../lib/supervisor/governor.ts';
import type {
  EndView,
  LimitView,
  RecoveryView,
  ResourceUsageView,
  RunView,
  ToolView,
  UsageView,
} from '../../lib/supervisor/views.ts';

export const AT = '2026-01-31T12:00:00.000Z';

export interface Entry {
  readonly definition: ToolDefinition;
  limits: ResolvedLimits;
  runs: RunView[];
  lastEnd: EndView | null;
}

/** What of a definition a test says; of its recovery only what counts there. */
export type DefinitionOverrides = Omit<Partial<ToolDefinition>, 'recovery'> & {
  readonly recovery?: Partial<ToolDefinition['recovery']>;
};

/** A definition as config would make it: 256 MiB of memory, 16 sockets, no other limit. */
export function fakeDefinition(name: string, { recovery, ...overrides }: DefinitionOverrides = {}): ToolDefinition {
  return {
    name,
    command: 'node',
    args: ['server.js'],
    env: {},
    cwd: null,
    class: 'standard',
    limits: { ...NO_LIMITS, memory: limitOf('memory', 268_435_456), sockets: limitOf('sockets', 16) },
    ladder: FAKE_LADDER,
    recovery: { ...DEFAULT_RECOVERY, ...recovery },
    graceMs: 5000,
    readyTimeoutMs: 30_000,
    readiness: 'none',
    sharing: 'context',
    idleTimeoutMs: null,
    healthCheckMs: null,
    calls: { queue: 100, waitMs: 30_000 },
    leaks: { action: 'notify', warmUpMs: 300_000, windowMs: 1_800_000 },
    dryRun: false,
    autostart: false,
    origin: 'api',
    ...overrides,
  };
}

/** Stands in for the configuration: takes numbers only, so that a test sees a refusal too. */
export function fakeParseLimits(limits: unknown): Result<LimitPatch, readonly Problem[]> {
  const problems: Problem[] = [];
  const patch: Partial<Record<Resource, number | null>> = {};
  for (const [key, value] of Object.entries(limits as Readonly<Record<Resource, unknown>>)) {
    if (value === null || (typeof value === 'number' && value > 0)) patch[key as Resource] = value;
    else
      problems.push({
        where: { pointer: `/limits/${key}` },
        message: `not a limit: ${JSON.stringify(value)}`,
        hint: 'write 512MiB or 512MB',
      });
  }
  return problems.length === 0 ? ok(patch) : err(problems);
}

export function patched(patch: LimitPatch): Partial<Record<Resource, ResolvedLimit | null>> {
  const pairs = Object.entries(patch) as [Resource, number | null][];
  return Object.fromEntries(
    pairs.map(([resource, limit]) => [resource, limit === null ? null : limitOf(resource, limit)]),
  );
}

function limitOf(resource: Resource, limit: number): ResolvedLimit {
  return {
    resource,
    limit,
    thresholds: DEFAULT_THRESHOLDS,
    actions: DEFAULT_ACTIONS[resource],
    source: { from: 'class', detail: 'class standard' },
  };
}

const NO_LIMITS = Object.fromEntries(RESOURCES.map((resource) => [resource, null])) as unknown as ResolvedLimits;

const FAKE_LADDER: LadderSettings = {
  exitMargin: 0.05,
  warning: { needed: 3, of: 5 },
  throttled: { needed: 3, of: 5 },
  cleanup: { needed: 2, of: 3 },
  escalateAfterMs: {
    memory: 30_000,
    cpu: null,
    file_handles: 30_000,
    sockets: 30_000,
    runtime: null,
    temp_storage: 30_000,
    tasks: 30_000,
  },
  stall: { share: 0.5, forMs: 2000 },
  quietMs: 15_000,
  staleAfterMs: 5000,
  fallingShare: 0.15,
  cpuWarmUpMs: 10_000,
  starvation: null,
};

function limitViews(limits: ResolvedLimits): readonly LimitView[] {
  return RESOURCES.map((resource) => {
    const limit = limits[resource];
    const { thresholds = null, actions = null, source = null } = limit ?? {};
    return {
      resource,
      unit: UNIT[resource],
      limit: limit?.limit ?? null,
      thresholds,
      actions,
      source,
      enforcement: limit === null ? 'none' : 'polled',
    };
  });
}

export function toolView({ definition, limits, runs, lastEnd }: Entry): ToolView {
  return {
    name: definition.name,
    state: runs.some((run) => run.state === 'running') ? 'active' : 'registered',
    stage: 'normal',
    origin: definition.origin,
    managed: true,
    command: [definition.command, ...definition.args],
    class: definition.class,
    runs: runs.filter((run) => run.state === 'running'),
    limits: limitViews(limits),
    lastEnd,
    server: null,
    recovery: { ...FAKE_RECOVERY, strategy: definition.recovery.strategy, written: definition.recovery.strategy },
    leaks: {
      action: definition.leaks.action,
      point: {
        cadenceMs: 1_000,
        warmUpMs: definition.leaks.warmUpMs,
        windowMs: definition.leaks.windowMs,
        leastRise: [],
        outside: [],
      },
      suspected: [],
      last: null,
    },
  };
}

export const FAKE_RECOVERY: RecoveryView = {
  strategy: 'restart',
  attempts: 0,
  nextAttemptAt: null,
  written: 'restart',
  replaced: null,
  degraded: null,
  onTrial: false,
  failure: null,
  rates: [],
};

export function runView({ definition, limits }: Entry, id: string, context: string | null): RunView {
  return {
    id,
    tool: definition.name,
    state: 'running',
    mode: 'managed',
    context,
    pid: 4711,
    backend: 'procfs',
    governed: true,
    handles: 0,
    startedAt: AT,
    endedAt: null,
    end: null,
    stage: 'normal',
    tempDir: `/tmp/governor-fake/${id}`,
    cwd: '/',
    command: [definition.command, ...definition.args],
    detached: false,
    limits: limitViews(limits),
  };
}

export function ended(run: RunView): RunView {
  const cleanup = {
    proven: true,
    held: { processes: 1 },
    reclaimed: { processes: 1 },
    left: {},
    steps: [{ label: '2 process', outcome: 'ok' as const, durationMs: 1.5 }],
    durationMs: 2,
    graceMs: 0,
  };
  const end: EndView = { reason: 'requested', message: 'stopped on request', exit: { signal: 'SIGTERM' }, cleanup };
  return { ...run, state: 'ended', endedAt: AT, end };
}

export function usageView(entry: Entry): UsageView {
  const resources = RESOURCES.map((resource): ResourceUsageView => {
    const limit = entry.limits[resource]?.limit ?? null;
    const common = { resource, unit: UNIT[resource], limit, stage: 'normal', enforcement: 'polled' } as const;
    if (resource === 'temp_storage')
      return {
        ...common,
        usage: null,
        ratio: null,
        quality: 'unsupported',
        at: null,
        unsupported: 'a fake has no disk',
      };
    return { ...common, usage: 8, ratio: limit === null ? null : 8 / limit, quality: 'exact', at: AT };
  });
  const runs = entry.runs.filter((run) => run.state === 'running').map((run) => ({ run: run.id, at: AT, resources }));
  return { tool: entry.definition.name, state: toolView(entry).state, at: AT, resources, runs };
}

export const FAKE_PROCESS: ProcessView = {
  pid: 4711,
  ppid: 1,
  startTicks: 1000,
  name: 'node',
  state: 'S',
  memory: { kind: 'measured', value: 1024, quality: 'pss', atMs: 1 },
  cpuTimeMs: 12,
  fileHandles: { kind: 'measured', value: 8, quality: 'exact', atMs: 1 },
  sockets: { kind: 'unsupported', reason: 'not permitted' },
  threads: 7,
};

export const FAKE_SOCKET: SocketView = {
  pid: 4711,
  fd: 9,
  inode: 77,
  kind: 'tcp',
  state: 'ESTABLISHED',
  local: '127.0.0.1:80',
  remote: '127.0.0.1:81',
};
export const FAKE_FILE: FileView = { pid: 4711, fd: 3, kind: 'file', target: '/tmp/a file', deleted: true };

export const FAKE_HOST: HostReport = {
  backend: 'procfs',
  probes: [{ backend: 'cgroup2', usable: false, reason: 'not mounted' }],
  capabilities: [
    {
      resource: 'memory',
      measuredBy: 'smaps_rollup',
      enforcement: 'polled',
      enforcedBy: 'SIGKILL',
      toGetMore: 'mount cgroup2',
    },
  ],
  totals: null,
  shared: { enforcement: 'polled', detail: 'summed up' },
  kernel: '6.18.0',
  bootId: '00000000-0000-0000-0000-000000000000',
  native: { available: false, detail: 'koffi is not installed' },
};
