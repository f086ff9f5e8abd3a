/** What a degraded run is given: of each resource the less of what is written for the tool and of what a smaller class has. */

import type { ResolvedLimit, ResolvedLimits } from './limits.ts';
import type { Resource } from './resource.ts';
import { RESOURCES } from './resource.ts';

export interface DegradedTo {
  /** Null: the limits stay. */
  readonly class: string | null;
  /** Of that class, resolved with the stages and actions of the tool; null without a class. */
  readonly limits: ResolvedLimits | null;
  /** Calls that one process may have open; the others wait. Null: as many as come. */
  readonly callsAtOnce: number | null;
}

/**
 * @param normal as they hold when it is not degraded
 * @param spared stay as they are
 */
export function degradedLimits(
  normal: ResolvedLimits,
  { class: name, limits }: DegradedTo,
  spared: ReadonlySet<Resource> = new Set(),
): ResolvedLimits {
  if (limits === null || name === null) return normal;
  const result: Partial<Record<Resource, ResolvedLimit | null>> = {};
  for (const resource of RESOURCES)
    if (!spared.has(resource)) result[resource] = less(normal[resource], limits[resource], name);
  return { ...normal, ...result };
}

function less(normal: ResolvedLimit | null, other: ResolvedLimit | null, name: string): ResolvedLimit | null {
  if (other === null) return normal;
  const source = { from: 'class', detail: `class ${name}, while it is degraded` } as const;
  if (normal === null) return { ...other, source };
  const limit = Math.min(normal.limit, other.limit);
  const inodes = Math.min(normal.inodes ?? Infinity, other.inodes ?? Infinity);
  if (limit === normal.limit && inodes === (normal.inodes ?? Infinity)) return normal;
  const { reason: _former, ...kept } = normal;
  return { ...kept, limit, ...(inodes === Infinity ? {} : { inodes }), source };
}

/** Resources of which the other has more: what it has no limit of, it has without end. */
export function largerIn(
  normal: ResolvedLimits,
  other: ResolvedLimits,
): readonly { readonly resource: Resource; readonly normal: number; readonly other: number | null }[] {
  return RESOURCES.flatMap((resource) => {
    const [ours, theirs] = [normal[resource], other[resource]];
    if (ours === null || (theirs !== null && theirs.limit <= ours.limit)) return [];
    return [{ resource, normal: ours.limit, other: theirs?.limit ?? null }];
  });
}

export function isSame(a: ResolvedLimits, b: ResolvedLimits): boolean {
  return RESOURCES.every(
    (resource) => a[resource]?.limit === b[resource]?.limit && a[resource]?.inodes === b[resource]?.inodes,
  );
}
