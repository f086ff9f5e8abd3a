/** What is shown of leaks and trends of a tool. Reads nothing from the kernel. */

import { lowestOfParts } from '../core/floor-window.ts';
import type { LeakDetector } from '../core/leak.ts';
import { LEAK_RESOURCES } from '../core/leak-test.ts';
import type { LeakResource } from '../core/leak-test.ts';
import { LEAST_RISE, outsideThePoint } from '../core/leak-text.ts';
import { UNIT } from '../core/resource.ts';
import { forecast, trendOf } from '../core/trend.ts';
import type { ToolDefinition } from './governor.ts';
import type { LeakWatch } from './leak-watch.ts';
import type { Run } from './run.ts';
import type { LeakView, TrendView } from './views.ts';

/** Points that a trend stands on. */
const POINTS = 24;
const HOUR_MS = 3_600_000;

/**
 * @param isWhole with the trends, which take a fraction of a millisecond a run
 * @param notGoverned why only a client is seen of it
 */
export function leakView(
  definition: Pick<ToolDefinition, 'name' | 'leaks'>,
  runs: readonly Run[],
  watch: LeakWatch,
  isWhole: boolean,
  notGoverned: string | null = null,
): LeakView {
  const { name } = definition;
  // What judges a live run is what it was started with, whatever a reload has written since.
  const { leaks } = runs.at(-1)?.init.definition ?? definition;
  const watched = runs.flatMap(({ id }) => watch.of(id) ?? []);
  return {
    action: leaks.action,
    point: {
      cadenceMs: watch.cadenceMs,
      warmUpMs: leaks.warmUpMs,
      windowMs: leaks.windowMs,
      leastRise: LEAK_RESOURCES.map((resource) => ({ resource, unit: UNIT[resource], ...LEAST_RISE[resource] })),
      outside: notGoverned === null ? outsideThePoint(leaks) : [`it is not watched at all: ${notGoverned}`],
    },
    suspected: watched.flatMap((one) => one.detector.suspicions.map((suspicion) => watch.view(one, suspicion))),
    last: watch.lastOf(name),
    ...(isWhole ? { trends: watched.flatMap(({ run, detector }) => trendsOf(run, detector)) } : {}),
  };
}

/** What runs of it are suspected of leaking; undefined where none is watched. */
export function suspectedOf(runs: Iterable<Run>, watch: LeakWatch): ReadonlySet<LeakResource> | undefined {
  let found: Set<LeakResource> | undefined;
  for (const { id } of runs) {
    const watched = watch.of(id);
    if (watched === undefined) continue;
    found ??= new Set();
    for (const { resource } of watched.detector.suspicions) found.add(resource);
  }
  return found;
}

function trendsOf(run: Run, detector: LeakDetector): readonly TrendView[] {
  return LEAK_RESOURCES.flatMap((resource): readonly TrendView[] => {
    const floors = detector.floors(resource);
    const points = floors.length < POINTS ? floors : lowestOfParts(floors, POINTS);
    const trend = trendOf(points, (floors.length * detector.binMs) / points.length);
    // A bin in which nothing was read is a gap.
    const floor = floors.findLast((one) => !Number.isNaN(one));
    if (trend === null || floor === undefined) return [];
    const limit = run.limits[resource]?.limit;
    // What lies above the floor meets the limit first.
    const reading = run.last?.readings[resource];
    const level = reading?.kind === 'measured' ? Math.max(floor, reading.value) : floor;
    const reached = limit === undefined ? null : forecast(trend, level, limit);
    return [
      {
        run: run.id,
        resource,
        unit: UNIT[resource],
        perHour: trend.slopePerMs * HOUR_MS,
        lowPerHour: trend.lowPerMs * HOUR_MS,
        highPerHour: trend.highPerMs * HOUR_MS,
        confidence: 1 - trend.p,
        limitIn:
          reached === null ? null : { expected: reached.inMs, earliest: reached.earliestMs, latest: reached.latestMs },
      },
    ];
  });
}
