/** Joins the history: its file, its clock, what is recorded of runs and calls, and what REST and metrics ask of it. */

import { uptime } from 'node:os';
import type { HistoryConfig } from '../config/history-schema.ts';
import type { Clock } from '../lib/core/clock.ts';
import { GovernorError } from '../lib/core/errors.ts';
import { maskLabel } from '../lib/core/mask.ts';
import type { CallRecord } from '../lib/mcp/calls/account.ts';
import { History } from '../lib/observe/history/history.ts';
import type { HistoryStatus, SampledRun } from '../lib/observe/history/history.ts';
import type { HistoryDocument, HistoryQuestion } from '../lib/observe/history/query.ts';
import type { Log } from '../lib/supervisor/ports.ts';

export interface HistoryInput {
  /** Null: off. */
  readonly config: HistoryConfig | null;
  readonly stateDir: string;
  readonly sampleIntervalMs: number;
  readonly clock: Clock;
  readonly bootId: string;
  readonly log: Log;
}

/** As `GET /v1/host` shows it. */
export type HistoryView = Omit<HistoryStatus, 'state'> & { readonly state: HistoryStatus['state'] | 'off' };

export interface DaemonHistory {
  onSample(run: SampledRun): void;
  onCall(record: CallRecord): void;
  /** @throws GovernorError unknown_tool, unknown_run, invalid_request, no_history */
  read(question: HistoryQuestion): Promise<HistoryDocument>;
  status(): HistoryView;
  close(): Promise<void>;
}

export function createHistory({ config, stateDir, sampleIntervalMs, clock, bootId, log }: HistoryInput): DaemonHistory {
  if (config === null) return OFF;
  const history = new History({
    path: `${stateDir}/history.db`,
    boot: bootId,
    settings: config,
    sampleIntervalMs,
    clock: () => ({ monotonicMs: clock.monotonicMs(), uptimeMs: uptime() * 1000, wallMs: clock.wallMs() }),
    onNote: ({ level, fields, message }) => log[level](fields, message),
  });
  return {
    onSample: (run) => history.sample(run),
    onCall: (record) => addCall(history, record),
    read: (question) => read(history, question),
    status: () => history.status(),
    close: () => history.close(),
  };
}

const OFF: DaemonHistory = {
  onSample: () => undefined,
  onCall: () => undefined,
  read: () =>
    Promise.reject(
      new GovernorError('no_history', 'the history is off (daemon.history in limits.yaml): nothing is kept'),
    ),
  status: () => ({ state: 'off', reason: null, written: 0, dropped: 0, bytes: 0 }),
  close: () => Promise.resolve(),
};

const NAME_MAX = 128;

function addCall(history: History, record: CallRecord): void {
  const { tool, context, method, outcome, durationMs, cpuTimeMs, isShared } = record;
  history.call(
    { tool, context, method, name: nameOf(record) },
    {
      calls: 1,
      failures: outcome === 'ok' ? 0 : 1,
      durationMs,
      maxMs: durationMs,
      cpuTimeMs: cpuTimeMs ?? 0,
      sharedCpuTimeMs: isShared ? (cpuTimeMs ?? 0) : 0,
      unmeasured: cpuTimeMs === null ? 1 : 0,
    },
  );
}

/** A URI, which may hold a secret and of which there is no end, does not belong on record. */
function nameOf({ method, name }: CallRecord): string {
  if (name === null || (method !== 'tools/call' && method !== 'prompts/get')) return '';
  return maskLabel(name, NAME_MAX);
}

async function read(history: History, question: HistoryQuestion): Promise<HistoryDocument> {
  const answer = await history.ask(question);
  switch (answer.kind) {
    case 'document':
      return answer.document;
    case 'unavailable':
      throw new GovernorError('no_history', `the history cannot be read: ${answer.reason}`);
    case 'refused':
      if (answer.refusal.kind === 'invalid') throw new GovernorError('invalid_request', answer.refusal.reason);
      if (answer.refusal.kind === 'unknown_run')
        throw new GovernorError('unknown_run', `nothing is kept of a run ${question.run} of ${question.tool}`);
      throw new GovernorError('unknown_tool', `nothing is kept of a tool named ${question.tool}`);
  }
}
