/** Everything the supervisor stands on, in memory and at a test's command: nothing is started, nothing is written. */

import { DEFAULT_LADDER } from '../../config/defaults.ts';
import type { BudgetRules } from '../../lib/core/budget.ts';
import type { AuditKind, AuditRecord } from '../../lib/core/audit-record.ts';
import { GovernorError } from '../../lib/core/errors.ts';
import { DEFAULT_THRESHOLDS } from '../../lib/core/ladder.ts';
import { NO_LIMITS, type ResolvedLimit, type ResolvedLimits } from '../../lib/core/limits.ts';
import { NO_RECOVERIES, type RecoveryRecord } from '../../lib/core/recovery-strategy.ts';
import { RESOURCES, type Resource } from '../../lib/core/resource.ts';
import { DEFAULT_ACTIONS } from '../../lib/core/response.ts';
import type { HandlesClosed } from '../../lib/core/tool-protocol.ts';
import type { Backend, ContainmentRecord } from '../../lib/os/backend.ts';
import type { LedgerEntry, LedgerProblem } from '../../lib/process/ledger.ts';
import { LeakWatch } from '../../lib/supervisor/leak-watch.ts';
import type { PostMortem } from '../../lib/supervisor/post-mortem-view.ts';
import type { SupervisorPorts } from '../../lib/supervisor/ports.ts';
import { FailPoints } from './fail-points.ts';
import { FakeProcesses, type FakeProcess } from './fake-processes.ts';
import { fakeTerminate } from './fake-terminate.ts';
import { FakeTree } from './fake-tree.ts';
import { FAKE_HOST } from './fake-views.ts';
import { manualClock, type ManualClock } from './manual-clock.ts';

const NO_BUDGETS: BudgetRules = { host: NO_LIMITS, contexts: [], ladder: DEFAULT_LADDER, dryRun: false };
/** The host was there before the daemon. */
export const HOST_AHEAD_MS = 3_600_000;
export const TEMP_ROOT = '/temp-root';
export const SERVER = { name: 'fake', version: '1', protocol: '2025-06-18', tools: ['echo'] } as const;

export interface FakeWorld {
  readonly ports: SupervisorPorts;
  readonly clock: ManualClock;
  readonly points: FailPoints;
  readonly processes: FakeProcesses;
  /** Every containment that was made, in order. */
  readonly trees: FakeTree[];
  /** Every managed process that was started, in order. */
  readonly launched: FakeProcess[];
  readonly ledger: Map<string, LedgerEntry>;
  readonly damaged: LedgerProblem[];
  readonly tempDirs: Set<string>;
  /** Temp directories in which this is left when they are deleted. */
  readonly stubbornFiles: Map<string, readonly string[]>;
  /** Containments of an earlier daemon, by cookie. */
  readonly earlier: Map<string, FakeTree>;
  readonly records: AuditRecord[];
  /** Lines of the log from `warn` on. */
  readonly complaints: string[];
  readonly notices: string[];
  readonly lastWords: string[];
  /** What is kept of recoveries, by tool. */
  readonly recoveries: Map<string, RecoveryRecord>;
  readonly postMortems: PostMortem[];
  readonly openPressure: Set<string>;
  readonly destroyed: { readonly local: string; readonly remote: string }[];
  /** What the tool has registered, and how closing it goes. */
  handles: HandlesClosed;
  /** Answer of the next destroy. */
  staleSockets: { closed: number; refused: string | null };
  recordsOf<K extends AuditKind>(kind: K): Extract<AuditRecord, { kind: K }>[];
  /** The latest containment. */
  readonly tree: FakeTree;
  /** A launcher that waits at the door. */
  launcher(): FakeProcess;
}

export type WorldOptions = Partial<SupervisorPorts> & { readonly clock?: ManualClock };

export function fakeWorld(overrides: WorldOptions = {}): FakeWorld {
  const clock = overrides.clock ?? manualClock();
  const points = new FailPoints();
  const processes = new FakeProcesses(points);
  const world = {
    clock,
    points,
    processes,
    trees: [] as FakeTree[],
    launched: [] as FakeProcess[],
    ledger: new Map<string, LedgerEntry>(),
    damaged: [] as LedgerProblem[],
    tempDirs: new Set<string>(),
    stubbornFiles: new Map<string, readonly string[]>(),
    earlier: new Map<string, FakeTree>(),
    records: [] as AuditRecord[],
    complaints: [] as string[],
    notices: [] as string[],
    lastWords: [] as string[],
    recoveries: new Map<string, RecoveryRecord>(),
    postMortems: [] as PostMortem[],
    openPressure: new Set<string>(),
    handles: { held: 0, closed: 0, failed: [] } as HandlesClosed,
    destroyed: [] as { local: string; remote: string }[],
    staleSockets: { closed: 0, refused: null as string | null },
    recordsOf: <K extends AuditKind>(kind: K) =>
      world.records.filter((record): record is Extract<AuditRecord, { kind: K }> => record.kind === kind),
    get tree(): FakeTree {
      const tree = world.trees.at(-1);
      if (tree === undefined) throw new Error('there is no containment yet');
      return tree;
    },
    launcher: () => processes.start(),
  };
  let runs = 0;
  const complain = (data: object, message: string): void => {
    const { err } = data as { err?: unknown };
    world.complaints.push(err instanceof Error ? `${message}: ${err.message}` : message);
  };
  const ports: SupervisorPorts = {
    clock,
    log: { debug: () => undefined, info: () => undefined, warn: complain, error: complain },
    recorder: { record: (record) => void world.records.push(record) },
    ledger: {
      write(entry) {
        points.say(`ledger: ${entry.step}`);
        points.now(`ledger.write ${entry.step}`);
        world.ledger.set(entry.runId, entry);
      },
      remove(runId) {
        points.say('ledger: removed');
        points.now('ledger.remove');
        world.ledger.delete(runId);
      },
      has: (runId) => world.ledger.has(runId),
      readAll: () => ({ entries: [...world.ledger.values()], problems: world.damaged }),
    },
    tempDirs: {
      root: TEMP_ROOT,
      async create(runId) {
        points.say('temp dir made');
        await points.pass('tempDirs.create');
        world.tempDirs.add(`${TEMP_ROOT}/${runId}`);
        return `${TEMP_ROOT}/${runId}`;
      },
      seenBy: () => true,
      async remove(directory, root) {
        points.say('temp dir deleted');
        await points.pass('tempDirs.remove');
        if (!directory.startsWith(`${root}/`))
          throw new GovernorError('internal', `${directory} is not a run's own temp directory`);
        const left = world.stubbornFiles.get(directory) ?? [];
        if (left.length === 0) world.tempDirs.delete(directory);
        return { files: 2, bytes: 2048, left, note: null };
      },
    },
    lastWord: {
      open(pid) {
        points.say(`stderr of ${pid} held`);
        points.now('lastWord.open');
        return { write: (line) => world.lastWords.push(line) > 0, close: () => points.say('stderr let go') };
      },
    },
    pressure: {
      async open(path) {
        points.say('pressure channel opened');
        await points.pass('pressure.open');
        world.openPressure.add(path);
        return {
          variables: { MEMORY_PRESSURE_WATCH: path },
          get handles() {
            return world.handles.held;
          },
          notify: (message) => world.notices.push(message),
          async closeHandles(request) {
            points.say(`handles closed within ${request.deadlineMs}`);
            await Promise.race([points.pass('handles.close'), aborted(request.hurry)]);
            return world.handles;
          },
          close() {
            points.say('pressure channel closed');
            world.openPressure.delete(path);
          },
        };
      },
    },
    facts: processes,
    backend: fakeBackend(world),
    backendFor: async () => null,
    isDeadInstance: async () => false,
    host: () => FAKE_HOST,
    baseEnvironment: { PATH: '/bin' },
    defaultCwd: '/',
    resolveCommand(command) {
      points.now('resolveCommand');
      return command;
    },
    async launch() {
      points.say('process started');
      await points.pass('launch');
      const process = processes.start();
      world.launched.push(process);
      return process;
    },
    terminate: fakeTerminate(clock),
    connect: {
      async connect(process) {
        points.say('handshake');
        if (process === null) throw new Error('there is no server elsewhere');
        const broken = process.exited.then(() => {
          throw new GovernorError('launch_failed', 'the MCP handshake failed: the tool has closed its output');
        });
        await Promise.race([points.pass('connect'), broken]);
        return {
          server: SERVER,
          async close() {
            points.say('session ended');
            await points.pass('connection.close');
          },
        };
      },
    },
    signIn: { problem: () => null, view: () => null },
    leaks: new LeakWatch({
      clock,
      recorder: { record: (record) => void world.records.push(record) },
      cadenceMs: 1_000,
    }),
    staleSockets: {
      async destroy(sockets) {
        world.destroyed.push(...sockets);
        return world.staleSockets;
      },
    },
    recoveries: {
      of: (tool) => world.recoveries.get(tool) ?? NO_RECOVERIES,
      keep: (tool, record) => void world.recoveries.set(tool, record),
    },
    postMortems: { add: (document) => void world.postMortems.push(document) },
    cores: 2,
    bootId: 'this-boot',
    hostMs: () => clock.monotonicMs() + HOST_AHEAD_MS,
    self: { pid: 1, startTicks: 1 },
    newRunId: () => `run${String(++runs).padStart(7, '0')}`,
    random01: () => 0.5,
    budgets: () => NO_BUDGETS,
    sampleIntervalMs: 1_000,
    ...overrides,
  };
  return Object.assign(world, { ports });
}

/** Every limit is in units of its resource; default actions. */
export function limited(limits: Partial<Record<Resource, number>>, extra: Partial<ResolvedLimit> = {}): ResolvedLimits {
  const pairs = Object.entries(limits) as [Resource, number][];
  return {
    ...NO_LIMITS,
    ...Object.fromEntries(
      pairs.map(([resource, limit]) => [
        resource,
        {
          resource,
          limit,
          thresholds: DEFAULT_THRESHOLDS,
          actions: DEFAULT_ACTIONS[resource],
          source: { from: 'built-in', detail: 'test' },
          ...extra,
        },
      ]),
    ),
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function fakeBackend(world: Pick<FakeWorld, 'points' | 'processes' | 'trees' | 'earlier'>): Backend {
  const { points, processes } = world;
  return {
    id: 'cgroup2',
    capabilities: RESOURCES.map((resource) => ({
      resource,
      measuredBy: 'a fake',
      enforcement: resource === 'memory' ? 'kernel' : 'polled',
      enforcedBy: 'a fake',
    })),
    exact: true,
    plan: (runId) => ({ backend: 'cgroup2', directories: [`/groups/${runId}`] }),
    async create({ runId }) {
      points.say('containment made');
      await points.pass('backend.create');
      const tree = new FakeTree(runId, processes, points);
      world.trees.push(tree);
      return tree;
    },
    async adopt(record: ContainmentRecord) {
      await points.pass('backend.adopt');
      return world.earlier.get(record.cookie) ?? null;
    },
    async discard(runId, planned) {
      points.say(`discarded ${[runId, ...planned].join(' ')}`);
    },
    async sweep() {
      points.say('swept');
      await points.pass('backend.sweep');
      return [];
    },
    close: async () => undefined,
  };
}
