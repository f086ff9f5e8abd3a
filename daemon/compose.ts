/** The only place that builds real objects: opens the rooms in order, joins them, and closes them in reverse. */

import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config/config.ts';
import { parseLimitPatch } from '../config/define.ts';
import { ALL_SCOPES } from './api/dependencies.ts';
import { createFront } from './api/front.ts';
import type { Clock } from '../lib/core/clock.ts';
import { GovernorError } from '../lib/core/errors.ts';
import { createLogger } from '../lib/observe/logger.ts';
import { procfsFacts } from '../lib/os/procfs/process-facts.ts';
import { selectBackend } from '../lib/os/select.ts';
import { acquireInstanceLock } from '../lib/process/instance-lock.ts';
import { Ledger } from '../lib/process/ledger.ts';
import type { Rendezvous } from '../lib/process/rendezvous.ts';
import { withDeadline } from '../lib/scope/deadline.ts';
import { Scope } from '../lib/scope/scope.ts';
import { Registry } from '../lib/supervisor/registry.ts';
import { serveRun } from '../lib/supervisor/served.ts';
import { createAuditReader } from './api/audit-reader.ts';
import { banner } from './banner.ts';
import { resolveLocations } from './cli/locations.ts';
import type { Locations } from './cli/locations.ts';
import { governorVersion } from './cli/version.ts';
import { createConfigSource } from './config-source.ts';
import { definitionsLoader } from './definitions-loader.ts';
import { countForLeaks } from './leak-calls.ts';
import { Adaption } from './adaption.ts';
import { openObservers, ROOM_DEADLINE_MS } from './observers.ts';
import { createPorts } from './ports.ts';
import { Profiles } from './profiles.ts';
import { linkSocket, prepareSocketDir, prepareStateDir } from './state-dir.ts';
import { createMcp } from './mcp.ts';
import type { Mcp } from './mcp.ts';
import { openRecoveries } from './recoveries.ts';
import { installShutdown } from './shutdown.ts';
import type { ShutdownMode } from './shutdown.ts';
import { selftest } from './selftest.ts';
import { createSignIns, signInActions } from './sign-ins.ts';
import { ownMemory, settleMemory } from './settle-memory.ts';
import { takeUp } from './take-up.ts';
import { chooseTempRoot } from './temp-root.ts';
import { readOrCreateToken } from './token.ts';
import { isEachNormal, toolSnapshots } from './tool-snapshots.ts';

export interface DaemonOptions {
  readonly configPath: string | null;
  readonly stateDir: string | null;
  readonly listen: string | null;
  /** Tells a person how to go on. */
  readonly foreground: boolean;
  readonly json: boolean;
}

/** Runs until it is told to end. @returns the exit code @throws GovernorError when it cannot start */
export async function runDaemon(options: DaemonOptions): Promise<number> {
  const locations = resolveLocations(
    { config: options.configPath, stateDir: options.stateDir, listen: options.listen },
    { env: process.env, cwd: process.cwd(), platform: process.platform },
  );
  const root = new Scope({ label: 'daemon' });
  try {
    return await run(options, locations, root);
  } finally {
    await root.close('daemon ends');
  }
}

const CLOCK: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };
/** What starts with the daemon has started by then. */
const API_LOAD_MS = 3_000;

async function run(options: DaemonOptions, locations: Locations, root: Scope): Promise<number> {
  const { stateDir } = locations;
  const source = createConfigSource(locations);
  // Watched before it is read, so that no change falls between the two.
  let changed = false;
  let onConfigChange = (): void => void (changed = true);
  const watcher = source.watch(() => onConfigChange());
  root.add('config watch', () => watcher?.close(), ROOM_DEADLINE_MS);
  let config: Config = source.load();
  const log = createLogger({ level: config.daemon.logLevel, destination: 'stderr' });
  const self = procfsFacts.identity(process.pid);
  if (self === null) throw new GovernorError('unsupported', 'the daemon cannot read /proc of itself');

  prepareStateDir(stateDir);
  const lock = await acquireInstanceLock(stateDir, self, procfsFacts);
  root.add('lock', () => lock.release(), ROOM_DEADLINE_MS);

  const instance = randomBytes(6).toString('hex');
  const { audit, history, hub, metrics, recorder } = await openObservers({
    stateDir,
    instance,
    config: config.daemon,
    clock: CLOCK,
    log,
    root,
    snapshot: () => toolSnapshots(registry, ports, (tool) => mcp.pool.connections(tool)),
    budgets: () => registry.budgets(),
    cache: () => mcp.cache.snapshot(),
  });
  const { record } = recorder;
  const adaption: Adaption = new Adaption({
    clock: CLOCK,
    log,
    record,
    registry: () => registry,
    profiles: () => profiles,
    leaks: () => ports.leaks,
  });
  root.add('adaption', () => adaption.close(), ROOM_DEADLINE_MS);

  const tempRoot = chooseTempRoot(config.daemon.tempRoot);
  const selection = { instance: lock.instance, tempRoot };
  const { backend, report } = await selectBackend({
    ...selection,
    ...(config.daemon.backend === 'auto' ? {} : { forced: config.daemon.backend }),
  });
  root.add('backend', () => backend.close(), ROOM_DEADLINE_MS);
  const ledger = new Ledger(`${stateDir}/ledger`);
  const signIns = createSignIns({
    stateDir,
    clock: CLOCK,
    log,
    recorder,
    registry: () => registry,
    onChanged: (tool) => mcp.cache.answers.forget(tool),
  });
  root.add('sign-ins', () => signIns.settled(), ROOM_DEADLINE_MS);
  const kept = openRecoveries(stateDir, config, CLOCK, log, root);
  const ports = createPorts({
    clock: CLOCK,
    log,
    recorder,
    ledger,
    tempRoot,
    backend,
    report,
    selection,
    self,
    config,
    budgets: () => config.budgets,
    root,
    connect: (process, settings) => mcp.pool.connect(process, settings),
    signIn: signIns,
    kept,
  });

  const profiles: Profiles = new Profiles({
    directory: `${stateDir}/profiles`,
    clock: CLOCK,
    log,
    record,
    sampleIntervalMs: ports.sampleIntervalMs,
    onNews: (tool) => adaption.look(tool),
    isOfCalls: (tool) => adaption.isOfCalls(tool),
  });
  root.add('profiles', () => profiles.close(), ROOM_DEADLINE_MS);
  const registry: Registry = new Registry({
    ports,
    loadDefinitions: definitionsLoader({
      source,
      metrics,
      recorder,
      current: () => config,
      replace: (next) => {
        config = next;
        mcp.cache.apply(next.daemon.cache);
      },
    }),
    events: hub,
    onPass: (durationMs) => metrics.observeSampleDuration(durationMs / 1000),
    onSample: (run) => {
      const { tool, last } = run;
      if (!run.judge.isEmpty) history.onSample(run);
      profiles.onSample(run);
      if (last !== null && last.kernel.oomKills > 0) metrics.observeOomKills(tool, last.kernel.oomKills);
    },
    onForgotten: (tool) => {
      metrics.removeTool(tool);
      signIns.forget(tool);
      profiles.onForgotten(tool);
      adaption.onForgotten(tool);
    },
    onSpare: (tool, run) => mcp.pool.addSpare(serveRun(tool, run)),
    onTools: (tool) => {
      mcp.refresh(tool);
      adaption.onTools(tool);
      if (tool === null) signIns.settle(definitions());
    },
  });
  const definitions = () => [...registry.live.values()].map(({ definition }) => definition);
  const { separator } = config.daemon.mcp;
  const mcp: Mcp = createMcp({
    registry,
    stateDir,
    clock: CLOCK,
    log,
    separator,
    recorder,
    signIns,
    cache: config.daemon.cache,
    onCache: (tool, event) => metrics.observeCache(tool, event),
    onCall: (record) => {
      history.onCall(record);
      metrics.observeCall(record.tool, record.outcome, record.durationMs / 1000);
      countForLeaks(record, ports.leaks);
    },
  });

  root.add('cache', () => mcp.cache.close(), ROOM_DEADLINE_MS);

  let state: 'starting' | 'ready' | 'stopping' = 'starting';
  let rendezvous: Rendezvous | null = null;
  /** Launches that an earlier daemon did not finish are settled; never rejects. */
  let interrupted: Promise<void> = Promise.resolve();
  const shutdown = installShutdown({
    terminal: options.foreground && process.stdin.isTTY,
    close: async (mode: ShutdownMode) => {
      state = 'stopping';
      rendezvous?.close();
      // Before the tools are stopped: one of them may be among those launches.
      await withDeadline(() => interrupted, ROOM_DEADLINE_MS, 'interrupted launches').catch((error: unknown) =>
        log.error({ err: error }, 'the next daemon will look after them'),
      );
      await registry.close(mode);
      recorder.record({ kind: 'daemon', event: 'stop', detail: { mode } });
    },
    hurry: () => registry.hurry(),
    reload: () => reload('SIGHUP'),
    onSignal: (signal, count) => log.info({ signal, count }, count === 1 ? 'shutting down' : 'shutting down faster'),
  });
  const reload = (by: string): void => {
    registry
      .reload()
      .catch((error: unknown) => log.error({ err: error, by }, 'the configuration is not applied; the old one stays'));
  };

  const api = createFront({
    governor: registry,
    recommend: (tool) => adaption.recommendation(tool),
    signIns: signInActions(signIns, registry, log),
    contextCalls: () => mcp.calls(),
    endClients: (context) => mcp.endContext(context),
    settings: () => ({ auth: config.daemon.auth }),
    tokens: () => [{ token, label: 'token', scopes: ALL_SCOPES }],
    audit: createAuditReader(
      stateDir,
      () => audit.flush(),
      () => audit.head(),
    ),
    metricsText: () => metrics.render(),
    ready: () => ({ ready: state === 'ready', detail: state }),
    stop: ({ stopTools }) => shutdown.begin(stopTools ? 'all' : 'managed'),
    define: (body) => config.define({ origin: 'api', body }),
    parseLimits: parseLimitPatch,
    version: governorVersion(),
    instance,
    logger: log,
    mcp: mcp.front,
    cache: mcp.cache,
    history,
    postMortems: kept.postMortems,
    docsDirectory: fileURLToPath(new URL('../../daemon/docs', import.meta.url)),
  });
  root.add('api', () => api.close(), ROOM_DEADLINE_MS);
  const token = readOrCreateToken(stateDir);
  prepareSocketDir(locations);
  await api.listenUnix(locations.listenSocketPath);
  root.add('socket link', linkSocket(locations), ROOM_DEADLINE_MS);
  const address = await api.listenTcp(config.daemon.listen);

  recorder.record({
    kind: 'daemon',
    event: 'start',
    detail: { version: governorVersion(), pid: process.pid, backend: backend.id, config: config.file },
  });
  ({ rendezvous, interrupted } = await takeUp({
    directory: `${stateDir}/launch`,
    config: () => config,
    ports,
    registry,
    front: mcp.front,
    self,
    log,
    onDefined: () => signIns.settle(definitions()),
  }));
  registry.autostart();
  state = 'ready';
  onConfigChange = () => reload('file change');
  if (changed) onConfigChange();
  selftest(report, log);
  api.loadAfter(API_LOAD_MS);
  const memory = ownMemory();
  if (memory !== null)
    root.add('memory', settleMemory({ ...memory, isQuiet: () => isEachNormal(registry) }), ROOM_DEADLINE_MS);
  if (options.foreground) process.stdout.write(banner({ address, stateDir, config, report, json: options.json }));
  return shutdown.done;
}
