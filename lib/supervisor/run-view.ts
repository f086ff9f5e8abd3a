/** The documents of one run, from the live object. Reads nothing from the kernel. */

import type { Clock } from '../core/clock.ts';
import { wallOf } from '../core/clock.ts';
import type { AdaptiveBounds, ResolvedLimit, ResolvedLimits } from '../core/limits.ts';
import { ratioOf } from '../core/limits.ts';
import type { Resource } from '../core/resource.ts';
import { RESOURCES, UNIT } from '../core/resource.ts';
import type { Reading } from '../core/usage.ts';
import type { Enforcement, LimitOutcome } from '../os/backend.ts';
import type { OpenCalls } from './open-calls.ts';
import type { SupervisorPorts } from './ports.ts';
import type { Run } from './run.ts';
import type { LimitView, ResourceUsageView, RunView } from './views.ts';

export function iso(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

export function runView(run: Run, ports: SupervisorPorts): RunView {
  const { init } = run;
  return {
    id: run.id,
    tool: run.tool,
    state: run.state,
    mode: init.mode,
    context: run.context,
    pid: run.alive ? (run.leader?.pid ?? null) : null,
    backend: ports.backend.id,
    governed: init.notGoverned === null,
    ...(init.notGoverned === null ? {} : { notGovernedReason: init.notGoverned }),
    handles: run.alive ? (run.channel?.handles ?? 0) : 0,
    startedAt: iso(init.startedWallMs),
    endedAt: run.endedWallMs === null ? null : iso(run.endedWallMs),
    end: run.end,
    stage: run.overallStage(),
    tempDir: init.tempDir,
    cwd: init.cwd,
    command: init.command,
    detached: init.detached,
    limits: limitViews(run.limits, run.outcomes, init.notGoverned, run.calls !== null),
  };
}

/** @param takesCalls the deadline of a call is kept here, also of what runs elsewhere */
export function limitViews(
  limits: ResolvedLimits,
  outcomes: readonly LimitOutcome[],
  notGoverned: string | null,
  takesCalls: boolean,
): LimitView[] {
  return RESOURCES.map((resource) => {
    const limit = limits[resource];
    const outcome = outcomes.find((candidate) => candidate.resource === resource);
    const isKeptHere = resource === 'runtime' && limit !== null && takesCalls;
    const note = (isKeptHere ? null : notGoverned) ?? outcome?.note;
    return {
      resource,
      unit: UNIT[resource],
      limit: limit?.limit ?? null,
      ...(limit?.inodes === undefined ? {} : { inodes: limit.inodes }),
      ...(limit?.backing === undefined ? {} : { backing: limit.backing }),
      ...(limit?.renew === undefined ? {} : { renew: limit.renew }),
      ...(limit?.capMs === undefined ? {} : { cap: limit.capMs }),
      ...(limit?.adaptive === undefined ? {} : { adaptive: adaptiveView(limit.adaptive) }),
      thresholds: limit?.thresholds ?? null,
      actions: limit?.actions ?? null,
      source: limit?.source ?? limits.lifted?.[resource] ?? null,
      ...(limit?.reason === undefined ? {} : { reason: limit.reason }),
      enforcement: isKeptHere ? 'polled' : enforcementOf(resource, limits, outcomes, notGoverned),
      ...(note === undefined ? {} : { note }),
    };
  });
}

function adaptiveView({ min, max, stoppedBy }: AdaptiveBounds): NonNullable<LimitView['adaptive']> {
  const until = 'until another limit is written where the tool is defined';
  const why = stoppedBy === undefined ? {} : { stopped: `set by hand (${stoppedBy}), ${until}` };
  return { min, max, ...why };
}

/** Without a limit there is nothing to enforce; the deadline of a runtime limit is the daemon's. */
export function enforcementOf(
  resource: Resource,
  limits: ResolvedLimits,
  outcomes: readonly LimitOutcome[],
  notGoverned: string | null,
): Enforcement {
  if (notGoverned !== null) return 'none';
  if (limits[resource] === null) return 'observed';
  if (resource === 'runtime') return 'polled';
  return outcomes.find((outcome) => outcome.resource === resource)?.enforcement ?? 'observed';
}

/** @param readings that are shown; by default what was sampled last */
export function runResource(
  resource: Resource,
  run: Run,
  clock: Clock,
  readings = run.last?.readings,
): ResourceUsageView {
  if (resource === 'runtime' && run.calls !== null) return callsResource(run.calls, run, clock);
  const reading: Reading = readings?.[resource] ?? { kind: 'unsupported', reason: 'not sampled yet' };
  const limit = run.limits[resource];
  const base = {
    resource,
    unit: UNIT[resource],
    limit: limit?.limit ?? null,
    stage: run.stage(resource),
    enforcement: enforcementOf(resource, run.limits, run.outcomes, run.init.notGoverned),
  };
  return {
    ...base,
    ...readingView(reading, limit, clock),
    ...(reading.kind !== 'measured' || reading.inodes === undefined ? {} : { inodes: reading.inodes }),
  };
}

/** A reading against its limit; what could not be read is null, with the reason. */
export function readingView(
  reading: Reading,
  limit: ResolvedLimit | null,
  clock: Clock,
): Pick<ResourceUsageView, 'usage' | 'ratio' | 'quality' | 'at' | 'unsupported'> {
  if (reading.kind !== 'measured') {
    const why = reading.kind === 'unsupported' ? { unsupported: reading.reason } : {};
    return { usage: null, ratio: null, quality: reading.kind, at: null, ...why };
  }
  return {
    usage: reading.value,
    ratio: limit === null ? null : ratioOf(reading, limit),
    quality: reading.quality,
    at: iso(wallOf(clock, reading.atMs)),
  };
}

/** The longest open call; 0 while none is open. Needs no sample. */
function callsResource(calls: OpenCalls, run: Run, clock: Clock): ResourceUsageView {
  const limit = run.limits.runtime;
  const nowMs = clock.monotonicMs();
  return {
    resource: 'runtime',
    unit: UNIT.runtime,
    usage: calls.longestMs(nowMs),
    limit: limit?.limit ?? null,
    ratio: limit === null ? null : calls.ratio(limit, nowMs),
    stage: calls.stage,
    quality: 'exact',
    // Also of what runs elsewhere: the deadline is kept here.
    enforcement: limit === null ? enforcementOf('runtime', run.limits, run.outcomes, run.init.notGoverned) : 'polled',
    at: iso(wallOf(clock, nowMs)),
  };
}
