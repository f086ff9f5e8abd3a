/** Whoever is told of what happens, and keeps it or shows it: audit, history, events and metrics, behind one recorder. */

import type { Logger } from 'pino';
import MetricsRegistry from 'prom-client/lib/registry.js';
import type { DaemonConfig } from '../config/config.ts';
import type { Clock } from '../lib/core/clock.ts';
import { openAuditLog } from '../lib/observe/audit-log.ts';
import type { AuditLog } from '../lib/observe/audit-log.ts';
import { EventHub } from '../lib/observe/events.ts';
import { createMetrics } from '../lib/observe/metrics.ts';
import type { Metrics, MetricsOptions } from '../lib/observe/metrics.ts';
import { createRecorder } from '../lib/observe/recorder.ts';
import type { Recorder } from '../lib/observe/recorder.ts';
import { bootId } from '../lib/os/procfs/stat.ts';
import type { Scope } from '../lib/scope/scope.ts';
import { governorVersion } from './cli/version.ts';
import { createEventSink } from './event-sink.ts';
import { createHistory } from './history.ts';
import type { DaemonHistory } from './history.ts';

/** Of the finalizers of the daemon's own rooms; the tools are stopped before, under deadlines of their own. */
export const ROOM_DEADLINE_MS = 5_000;

export interface Observers {
  readonly audit: AuditLog;
  readonly history: DaemonHistory;
  readonly hub: EventHub;
  readonly metrics: Metrics;
  readonly recorder: Recorder;
}

export interface ObserversOptions extends Required<Pick<MetricsOptions, 'snapshot' | 'budgets' | 'cache'>> {
  readonly stateDir: string;
  /** Of this life of the daemon. */
  readonly instance: string;
  readonly config: DaemonConfig;
  readonly clock: Clock;
  readonly log: Logger;
  /** Closes them. */
  readonly root: Scope;
}

export async function openObservers(options: ObserversOptions): Promise<Observers> {
  const { stateDir, instance, config, clock, log, root } = options;
  const audit = await openAuditLog({
    stateDir,
    clock,
    bootId: bootId(),
    daemon: instance,
    maxFileBytes: config.audit.maxFileBytes,
    keepFiles: config.audit.keepFiles,
    onStatus: (status) =>
      status.ok
        ? log.info(status, 'the audit log is written again')
        : log.error(status, 'the audit log cannot be written: entries wait'),
  });
  root.add('audit', async () => void (await audit.close()), ROOM_DEADLINE_MS);

  const { sampleIntervalMs } = config;
  const history = createHistory({ config: config.history, stateDir, sampleIntervalMs, clock, bootId: bootId(), log });
  root.add('history', () => history.close(), ROOM_DEADLINE_MS);

  const hub = new EventHub({
    daemon: instance,
    wallMs: clock.wallMs,
    onListenerError: (error) => log.warn({ err: error }, 'an event listener failed'),
  });
  const { snapshot, budgets, cache } = options;
  const metrics = createMetrics({
    registry: new MetricsRegistry(),
    version: governorVersion(),
    snapshot,
    budgets,
    cache,
    ...(config.history === null ? {} : { history: () => history.status() }),
  });
  return { audit, history, hub, metrics, recorder: createRecorder([audit, metrics, createEventSink(hub)]) };
}
