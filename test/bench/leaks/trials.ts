/** From families to trials: how many of each, at which rates, with which seeds. Part of what is held out. */

import { HELD_OUT_BENIGN, HELD_OUT_LEAKS } from './held-out-models.ts';
import type { Family, Sample } from './model.ts';
import { samplesOf } from './model.ts';
import { MODEL_WINDOWS, USUAL_PACE } from './operating-point.ts';
import type { Pace } from './operating-point.ts';
import { seeded, seedOf } from './random.ts';
import { TUNING_BENIGN, TUNING_LEAKS } from './tuning-models.ts';

/** Multiples of the least rate; the trials of a family take them in turn. */
export const RATES = [1, 1.5, 2, 3, 5, 10] as const;
/** For the curve, which also shows what lies below the least rate. */
export const CURVE_RATES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10] as const;

export const LEAK_TRIALS_A_FAMILY = 36;
export const BENIGN_TRIALS_A_FAMILY = 30;

export interface Trial {
  readonly family: Family;
  readonly index: number;
  /** 0: benign. */
  readonly rate: number;
  readonly seed: number;
}

/** 360 leaking and 360 benign ones. */
export function heldOutTrials(): readonly Trial[] {
  return [
    ...HELD_OUT_LEAKS.flatMap((family) => trialsOf('held out', family, LEAK_TRIALS_A_FAMILY)),
    ...HELD_OUT_BENIGN.flatMap((family) => trialsOf('held out', family, BENIGN_TRIALS_A_FAMILY)),
  ];
}

export function tuningTrials(each = 60): readonly Trial[] {
  return [...TUNING_LEAKS, ...TUNING_BENIGN].flatMap((family) => trialsOf('tuning', family, each));
}

/** So many trials of each leaking family at each rate of the curve. */
export function curveTrials(each = 6): readonly Trial[] {
  return CURVE_RATES.flatMap((rate) =>
    HELD_OUT_LEAKS.flatMap((family) =>
      Array.from({ length: each }, (_, index) => ({
        family,
        index,
        rate,
        seed: seedOf(`curve ${family.name} ${rate} ${index}`),
      })),
    ),
  );
}

function trialsOf(set: string, family: Family, count: number): readonly Trial[] {
  return Array.from({ length: count }, (_, index) => ({
    family,
    index,
    rate: family.leaking ? (RATES[index % RATES.length] as number) : 0,
    seed: seedOf(`${set} ${family.name} ${index}`),
  }));
}

export function seriesOf(
  { family, index, rate, seed }: Trial,
  pace: Pace = USUAL_PACE,
  windows: number = MODEL_WINDOWS,
): Iterable<Sample> {
  const random = seeded(seed);
  const model = family.model(random, pace, rate, index);
  return samplesOf(family, model, random, pace, windows);
}
