/**
 * What a stage does. Actions are a closed list: a key in limits.yaml that names anything else is refused, and one that
 * makes no sense for a resource is refused too.
 */

import type { ThresholdStage } from './ladder.ts';
import type { Resource } from './resource.ts';

export const ACTIONS = [
  /** Tell the tool: pressure FIFO, GOVERNOR_SOCKET. Every transition is told to people anyway. */
  'notify',
  /** CPU quota at the limit (cgroups). */
  'cpu_quota',
  /** Nice 10 for every process of the tree (no cgroups). */
  'nice',
  /** `memory.high` at the limit (cgroup v2). */
  'memory_high',
  /** Soft RLIMIT_NOFILE to current + 8 for every process of the tree. */
  'soft_nofile',
  /** Close sockets in CLOSE_WAIT by SOCK_DESTROY. */
  'destroy_stale_sockets',
  /** Ordered stop, cleanup, then the tool's recovery strategy. */
  'recycle',
  /** Ordered stop and cleanup; stays stopped. */
  'stop',
  /** The whole tree at once, no grace, cleanup after. */
  'kill',
] as const;

export type Action = (typeof ACTIONS)[number];

/** Which actions a stage of a resource may have. */
export const ALLOWED_ACTIONS: Readonly<Record<Resource, readonly Action[]>> = {
  memory: ['notify', 'memory_high', 'cpu_quota', 'nice', 'recycle', 'stop', 'kill'],
  cpu: ['notify', 'cpu_quota', 'nice', 'recycle', 'stop', 'kill'],
  file_handles: ['notify', 'soft_nofile', 'recycle', 'stop', 'kill'],
  sockets: ['notify', 'soft_nofile', 'destroy_stale_sockets', 'recycle', 'stop', 'kill'],
  runtime: ['notify', 'recycle', 'stop', 'kill'],
  temp_storage: ['notify', 'recycle', 'stop', 'kill'],
  tasks: ['notify', 'recycle', 'stop', 'kill'],
};

type StageActions = Readonly<Record<ThresholdStage, readonly Action[]>>;

const ENDING: StageActions = { warning: ['notify'], throttled: ['notify'], cleanup: ['recycle'], emergency: ['kill'] };

/** Defaults. CPU stops at throttling: with a quota usage cannot pass 100 %, and a busy compiler is no fault. */
export const DEFAULT_ACTIONS: Readonly<Record<Resource, StageActions>> = {
  memory: { ...ENDING, throttled: ['notify', 'memory_high'] },
  cpu: { warning: ['notify'], throttled: ['notify', 'cpu_quota', 'nice'], cleanup: [], emergency: [] },
  file_handles: { ...ENDING, throttled: ['notify', 'soft_nofile'] },
  sockets: { ...ENDING, throttled: ['notify', 'soft_nofile'], cleanup: ['destroy_stale_sockets', 'recycle'] },
  runtime: ENDING,
  temp_storage: ENDING,
  tasks: ENDING,
};

/** True for actions that end the run. */
export function isEnding(action: Action): boolean {
  return action === 'recycle' || action === 'stop' || action === 'kill';
}

/** True for actions that hold a tool back and have to be lifted again. */
export function isBrake(action: Action): boolean {
  return action === 'cpu_quota' || action === 'nice' || action === 'memory_high' || action === 'soft_nofile';
}
