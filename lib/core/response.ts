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
  /** New calls wait for the tool to recover, for a while (calls that pass Governor). */
  'queue_calls',
  /** New calls are refused at once. */
  'refuse_calls',
  /** The call is cancelled by protocol; a server that then fails its ping is recycled. */
  'cancel_call',
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
  memory: ['notify', 'queue_calls', 'refuse_calls', 'memory_high', 'cpu_quota', 'nice', 'recycle', 'stop', 'kill'],
  cpu: ['notify', 'queue_calls', 'refuse_calls', 'cpu_quota', 'nice', 'recycle', 'stop', 'kill'],
  file_handles: ['notify', 'queue_calls', 'refuse_calls', 'soft_nofile', 'recycle', 'stop', 'kill'],
  sockets: ['notify', 'queue_calls', 'refuse_calls', 'soft_nofile', 'destroy_stale_sockets', 'recycle', 'stop', 'kill'],
  // Of a call: that others wait would not make it any faster.
  runtime: ['notify', 'cancel_call', 'recycle', 'stop', 'kill'],
  temp_storage: ['notify', 'queue_calls', 'refuse_calls', 'recycle', 'stop', 'kill'],
  tasks: ['notify', 'queue_calls', 'refuse_calls', 'recycle', 'stop', 'kill'],
};

export type StageActions = Readonly<Record<ThresholdStage, readonly Action[]>>;

const ENDING: StageActions = { warning: ['notify'], throttled: ['notify'], cleanup: ['recycle'], emergency: ['kill'] };

/** Defaults of a tool whose calls do not pass Governor. CPU stops at throttling: with a quota usage cannot pass 100 %, and a busy compiler is no fault. */
export const DEFAULT_ACTIONS: Readonly<Record<Resource, StageActions>> = {
  memory: { ...ENDING, throttled: ['notify', 'memory_high'] },
  cpu: { warning: ['notify'], throttled: ['notify', 'cpu_quota', 'nice'], cleanup: [], emergency: [] },
  file_handles: { ...ENDING, throttled: ['notify', 'soft_nofile'] },
  sockets: { ...ENDING, throttled: ['notify', 'soft_nofile'], cleanup: ['destroy_stale_sockets', 'recycle'] },
  runtime: ENDING,
  temp_storage: ENDING,
  tasks: ENDING,
};

const DEFAULT_ACTIONS_OF_CALLS: Readonly<Record<Resource, StageActions>> = {
  memory: queueing('memory'),
  cpu: DEFAULT_ACTIONS.cpu,
  file_handles: queueing('file_handles'),
  sockets: queueing('sockets'),
  runtime: { ...DEFAULT_ACTIONS.runtime, cleanup: ['cancel_call'] },
  temp_storage: queueing('temp_storage'),
  tasks: queueing('tasks'),
};

/** New calls to a tool that is held back wait, but for CPU: one that computes at its quota is at work. */
function queueing(resource: Resource): StageActions {
  const actions = DEFAULT_ACTIONS[resource];
  const [first, ...others] = actions.throttled;
  return { ...actions, throttled: [...(first === undefined ? [] : [first]), 'queue_calls', ...others] };
}

/** The same object each time. @param callsPass its calls pass Governor: a managed tool that speaks MCP */
export function defaultActions(resource: Resource, callsPass: boolean): StageActions {
  return (callsPass ? DEFAULT_ACTIONS_OF_CALLS : DEFAULT_ACTIONS)[resource];
}

/** True for actions that concern calls, and mean nothing where calls do not pass Governor. */
export function isOfCalls(action: Action): boolean {
  return action === 'queue_calls' || action === 'refuse_calls' || action === 'cancel_call';
}

/** The same for a run whose calls go another way: there the run itself is the activation. */
export function withoutCalls(actions: readonly Action[]): readonly Action[] {
  if (!actions.some(isOfCalls)) return actions;
  const ofRun = actions.map((action): Action => (action === 'cancel_call' ? 'recycle' : action));
  return ofRun.filter((action, index) => !isOfCalls(action) && ofRun.indexOf(action) === index);
}

/** True for actions that end the run. */
export function isEnding(action: Action): boolean {
  return action === 'recycle' || action === 'stop' || action === 'kill';
}

/** True for actions that hold a tool back and have to be lifted again. */
export function isBrake(action: Action): boolean {
  return action === 'cpu_quota' || action === 'nice' || action === 'memory_high' || action === 'soft_nofile';
}
