/** One series before the detector and before the two that it is compared with. */

import { LeakDetector } from '../../../lib/core/leak.ts';
import type { LeakResource } from '../../../lib/core/leak-test.ts';
import { riseTest } from '../../../lib/core/trend.ts';
import { RESOURCES } from '../../../lib/core/resource.ts';
import type { Readings } from '../../../lib/core/usage.ts';
import { measured, unsupported } from '../../../lib/core/usage.ts';
import type { Sample } from './model.ts';
import type { Pace } from './operating-point.ts';

export interface Outcome {
  /** Milliseconds since the start; null: never. */
  readonly suspectedMs: number | null;
  readonly mannKendall: boolean;
  readonly leastSquares: boolean;
}

const NOT_READ = unsupported('not part of this trial');

export function evaluate(resource: LeakResource, samples: Iterable<Sample>, pace: Pace): Outcome {
  const detector = new LeakDetector(0, pace);
  const readings = Object.fromEntries(RESOURCES.map((name) => [name, NOT_READ])) as Record<
    keyof Readings,
    Readings[keyof Readings]
  >;
  let suspectedMs: number | null = null;
  const kept: Sample[] = [];
  for (const sample of samples) {
    kept.push(sample);
    if (suspectedMs !== null) continue;
    readings[resource] = measured(sample.value, 'cgroup', sample.atMs);
    const changes = detector.add({ readings, atMs: sample.atMs });
    if (changes?.some(({ kind }) => kind === 'suspected') === true) suspectedMs = sample.atMs;
  }
  return { suspectedMs, ...compared(kept, pace) };
}

/** Least squares has to explain so much of the variance. */
const LEAST_R2 = 0.8;
const COMPARED_BINS = 60;

/** The plain tests, once, on 60 means of everything after the warm-up: the most favourable moment to ask them. */
export function compared(
  samples: readonly Sample[],
  { warmUpMs }: Pace,
): Pick<Outcome, 'mannKendall' | 'leastSquares'> {
  const after = samples.filter(({ atMs }) => atMs >= warmUpMs);
  const means = binMeans(after, COMPARED_BINS);
  return { mannKendall: riseTest(means).p < 0.05, leastSquares: risesByLeastSquares(means) };
}

function binMeans(samples: readonly Sample[], bins: number): readonly number[] {
  const first = samples[0]?.atMs ?? 0;
  const span = (samples.at(-1)?.atMs ?? 0) - first + 1;
  const sums = Array.from({ length: bins }, () => ({ sum: 0, count: 0 }));
  for (const { atMs, value } of samples) {
    const bin = sums[Math.floor(((atMs - first) / span) * bins)];
    if (bin === undefined) continue;
    bin.sum += value;
    bin.count += 1;
  }
  return sums.flatMap(({ sum, count }) => (count === 0 ? [] : [sum / count]));
}

function risesByLeastSquares(values: readonly number[]): boolean {
  const n = values.length;
  const [middleX, middleY] = [(n - 1) / 2, values.reduce((sum, value) => sum + value, 0) / n];
  let [xx, xy, yy] = [0, 0, 0];
  values.forEach((value, at) => {
    xx += (at - middleX) ** 2;
    xy += (at - middleX) * (value - middleY);
    yy += (value - middleY) ** 2;
  });
  return xy > 0 && (xy * xy) / (xx * yy) > LEAST_R2;
}
