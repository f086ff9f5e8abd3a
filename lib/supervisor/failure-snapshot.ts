/**
 * What a run is like right before it is cleaned up after a failure. Bounded: whoever is to be killed at once is not looked
 * at, a tree with too much in it is not listed, and a look that has taken its time already is ended where it is.
 */

import type { EndReason } from '../core/audit-record.ts';
import type { Clock } from '../core/clock.ts';
import { wallOf } from '../core/clock.ts';
import { maskText } from '../core/mask.ts';
import { RESOURCES } from '../core/resource.ts';
import type { Reading } from '../core/usage.ts';
import type { FileView, Pace, ProcessView, SocketView } from '../os/inspector.ts';
import type { SupervisorPorts } from './ports.ts';
import type { FailureSnapshot, ProcessSnapshot } from './post-mortem-view.ts';
import type { EndRequest, Run } from './run.ts';
import { iso, runResource } from './run-view.ts';
import type { ResourceUsageView } from './views.ts';

/** A look at 4,000 descriptors costs some 20 ms, a thousand processes as much. */
const PROCESSES_MOST = 256;
const HANDLES_MOST = 4_096;
const LOOK_MOST_MS = 50;

/** Ends that are a failure of the tool itself; of a client's own run that it ended is the client's to know. */
const FAILURES: ReadonlySet<EndReason> = new Set<EndReason>(['limit', 'oom_kill', 'not_ready', 'unhealthy', 'leak']);

export function isFailure(run: Run, reason: EndReason): boolean {
  return FAILURES.has(reason) || (reason === 'exited' && run.init.mode === 'managed');
}

type Part = FailureSnapshot['omitted'][number]['what'];

export function snapshotOf(run: Run, request: EndRequest, ports: SupervisorPorts): FailureSnapshot {
  const startedMs = ports.clock.monotonicMs();
  const { inspect } = run.init.containment;
  const omitted: { what: Part; why: string }[] = [];
  const whyNot = reasonNotToLook(run, request);
  const isLate = (): boolean => ports.clock.monotonicMs() - startedMs > LOOK_MOST_MS;
  const pace: Pace = () => {
    if (isLate()) throw new TookTooLong();
  };
  const look = <T>(what: Part, read: () => T): T | null => {
    const why = whyNot ?? (isLate() ? 'what was read before had taken its time' : null);
    if (why === null) {
      try {
        return read();
      } catch (error) {
        const failed = `could not be read: ${error instanceof Error ? error.message : String(error)}`;
        omitted.push({ what, why: error instanceof TookTooLong ? error.message : failed });
        return null;
      }
    }
    omitted.push({ what, why });
    return null;
  };
  const processes = look('processes', () => inspect.processes(pace).map(processOf));
  const sockets = look('sockets', () => socketsByState(inspect.sockets(pace)));
  const files = look('files', () => filesByKind(inspect.files(pace)));
  const endedMs = ports.clock.monotonicMs();
  return {
    at: iso(wallOf(ports.clock, startedMs)),
    tookMs: Math.round((endedMs - startedMs) * 100) / 100,
    usage: usageOf(run, ports.clock),
    processes,
    files,
    sockets,
    omitted,
  };
}

/** As sampled while it lived; memory that the kernel killed it for as far as it came. */
function usageOf(run: Run, clock: Clock): readonly ResourceUsageView[] {
  const { last, isEmpty, lived } = run.judge;
  if (last === null || !isEmpty) return RESOURCES.map((resource) => runResource(resource, run, clock));
  const { memory } = lived.readings;
  const peak = last.kernel.memoryPeakBytes;
  const isKilled = run.judge.oomKilled && peak !== undefined && memory.kind === 'measured' && memory.value < peak;
  const { runtime } = last.readings;
  const readings = {
    ...lived.readings,
    runtime,
    memory: isKilled ? { ...memory, value: peak, atMs: last.atMs } : memory,
  };
  return RESOURCES.map((resource) => runResource(resource, run, clock, readings));
}

/** Whoever is to be stopped does not wait for the rest. */
class TookTooLong extends Error {
  constructor() {
    super(`it took more than ${LOOK_MOST_MS} ms`);
  }
}

function reasonNotToLook(run: Run, { graceMs, reason }: EndRequest): string | null {
  if (reason === 'exited' && graceMs === 0) return 'the tree had ended already';
  if (reason === 'oom_kill') return 'the kernel had killed it already';
  // It hangs or is on its way out, and takes no more meanwhile.
  if (reason === 'not_ready') return whyTooMuch(run);
  if (graceMs === 0) return 'it was killed at once: nothing was looked at before';
  return whyTooMuch(run);
}

function whyTooMuch(run: Run): string | null {
  const processes = run.init.containment.membership.members().length;
  if (processes === 0) return 'the tree had ended already';
  if (processes > PROCESSES_MOST) return `${processes} processes: more than ${PROCESSES_MOST} are not looked at`;
  const handles = run.last?.readings.file_handles;
  if (handles?.kind === 'measured' && handles.value > HANDLES_MOST)
    return `${handles.value} open files: more than ${HANDLES_MOST} are not looked at`;
  return null;
}

function processOf(view: ProcessView): ProcessSnapshot {
  const { pid, ppid, name, state, cpuTimeMs, threads } = view;
  return {
    pid,
    ppid,
    name: maskText(name),
    state,
    memoryBytes: valueOf(view.memory),
    cpuTimeMs,
    fileHandles: valueOf(view.fileHandles),
    sockets: valueOf(view.sockets),
    threads,
  };
}

function valueOf(reading: Reading): number | null {
  return reading.kind === 'measured' ? reading.value : null;
}

function filesByKind(files: readonly FileView[]): Readonly<Record<string, number>> {
  return counted(files.flatMap(({ kind, deleted }) => (deleted ? [kind, 'deleted'] : [kind])));
}

/** What several processes share is one socket. */
function socketsByState(sockets: readonly SocketView[]): Readonly<Record<string, number>> {
  const distinct = new Map(sockets.map((socket) => [socket.inode, socket]));
  return counted([...distinct.values()].map(({ kind, state }) => (state === null ? kind : `${kind} ${state}`)));
}

function counted(words: readonly string[]): Readonly<Record<string, number>> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([a], [b]) => a.localeCompare(b)));
}
