/** From layers of limits, strongest first (flags or API > environment > file > class > built-in), to limits that hold. */

import { DEFAULT_THRESHOLDS } from '../lib/core/ladder.ts';
import type { ThresholdStage } from '../lib/core/ladder.ts';
import type { Lifted, ResolvedLimit, ResolvedLimits, Source, Thresholds } from '../lib/core/limits.ts';
import { RESOURCES } from '../lib/core/resource.ts';
import type { Resource } from '../lib/core/resource.ts';
import { defaultActions, withoutCalls } from '../lib/core/response.ts';
import type { Action } from '../lib/core/response.ts';

export interface LayerLimit {
  /** In the unit of the resource; null lifts what weaker layers say. */
  readonly limit: number | null;
  readonly inodes?: number;
  readonly backing?: 'disk' | 'tmpfs';
  readonly renew?: 'progress' | 'none';
  readonly capMs?: number;
  readonly adaptive?: { readonly min: number; readonly max: number };
  readonly reason?: string;
  readonly source: Source;
}

/** The limits of one origin. A resource that is absent is left to weaker layers. */
export type Layer = Readonly<Partial<Record<Resource, LayerLimit>>>;

type ByStage<T> = Readonly<Partial<Record<ThresholdStage, T | undefined>>>;

export interface StageSettings {
  readonly thresholds: Readonly<Partial<Record<Resource, ByStage<number> | undefined>>>;
  readonly actions: Readonly<Partial<Record<Resource, ByStage<readonly Action[]> | undefined>>>;
  /** Its calls pass Governor: runtime is that of a call, and calls can be held back. */
  readonly callsPass: boolean;
}

export function resolveLimits(layers: readonly Layer[], settings: StageSettings): ResolvedLimits {
  const one = (resource: Resource): ResolvedLimit | null => resolveOne(resource, layers, settings);
  const lifted = liftedBy(layers);
  return {
    ...(lifted === null ? {} : { lifted }),
    memory: one('memory'),
    cpu: one('cpu'),
    file_handles: one('file_handles'),
    sockets: one('sockets'),
    runtime: one('runtime'),
    temp_storage: one('temp_storage'),
    tasks: one('tasks'),
  };
}

function liftedBy(layers: readonly Layer[]): Lifted | null {
  const lifted: Partial<Record<Resource, Source>> = {};
  for (const resource of RESOURCES) {
    const winner = layers.find((layer) => layer[resource] !== undefined)?.[resource];
    if (winner?.limit === null) lifted[resource] = winner.source;
  }
  return Object.keys(lifted).length === 0 ? null : lifted;
}

/** Who wants TMPDIR in memory, unless a stronger layer says otherwise; null where it lies on disk. */
export function wantsTmpfs(layers: readonly Layer[]): Source | null {
  const given = layers.flatMap((layer) => layer.temp_storage ?? []).find(({ backing }) => backing !== undefined);
  return given?.backing === 'tmpfs' ? given.source : null;
}

export function thresholdsOf(resource: Resource, settings: StageSettings): Thresholds {
  return filled(DEFAULT_THRESHOLDS, settings.thresholds[resource]);
}

export function actionsOf(
  resource: Resource,
  settings: StageSettings,
): Readonly<Record<ThresholdStage, readonly Action[]>> {
  const given = settings.actions[resource];
  const actions = filled(defaultActions(resource, settings.callsPass), given);
  if (settings.callsPass || given === undefined) return actions;
  return {
    warning: withoutCalls(actions.warning),
    throttled: withoutCalls(actions.throttled),
    cleanup: withoutCalls(actions.cleanup),
    emergency: withoutCalls(actions.emergency),
  };
}

function resolveOne(resource: Resource, layers: readonly Layer[], settings: StageSettings): ResolvedLimit | null {
  const given = layers.flatMap((layer) => layer[resource] ?? []);
  const [winner] = given;
  if (winner === undefined || winner.limit === null) return null;
  // A layer that limits bytes only says nothing about inodes or backing: those are left to the next one.
  const inodes = given.find((layer) => layer.inodes !== undefined)?.inodes;
  return {
    resource,
    limit: winner.limit,
    ...(inodes === undefined ? {} : { inodes }),
    ...(settings.callsPass ? ofCalls(given) : {}),
    ...(resource === 'temp_storage' && wantsTmpfs(layers) !== null ? { backing: 'tmpfs' as const } : {}),
    // Only with the limit that it was written with: a stronger one is no part of those bounds.
    ...(winner.adaptive === undefined ? {} : { adaptive: winner.adaptive }),
    thresholds: thresholdsOf(resource, settings),
    actions: actionsOf(resource, settings),
    source: winner.source,
    ...(winner.reason === undefined ? {} : { reason: winner.reason }),
  };
}

/** In the same way, what is said of the runtime of calls. */
function ofCalls(given: readonly LayerLimit[]): Pick<ResolvedLimit, 'renew' | 'capMs'> {
  const renew = given.find((layer) => layer.renew !== undefined)?.renew;
  const capMs = given.find((layer) => layer.capMs !== undefined)?.capMs;
  return { ...(renew === undefined ? {} : { renew }), ...(capMs === undefined ? {} : { capMs }) };
}

function filled<T>(
  defaults: Readonly<Record<ThresholdStage, T>>,
  given: ByStage<T> | undefined,
): Readonly<Record<ThresholdStage, T>> {
  // Mostly: one object for all tools.
  if (given === undefined) return defaults;
  return {
    warning: given.warning ?? defaults.warning,
    throttled: given.throttled ?? defaults.throttled,
    cleanup: given.cleanup ?? defaults.cleanup,
    emergency: given.emergency ?? defaults.emergency,
  };
}
