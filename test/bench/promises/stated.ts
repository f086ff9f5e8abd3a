/** What is stated of a promise: a figure, how sure it is, and what was aimed at. */

import type { Bench } from '../support/bench.ts';
import { lowerBound, upperBound } from '../support/proportion.ts';
import { mean, meanUpperBound, quantile, quantileUpperBound } from './bounds.ts';

export const PROMISES = ['cleanup', 'reclamation', 'false-violations', 'leaks', 'recovery'] as const;
export type PromiseName = (typeof PROMISES)[number];

export interface Aim {
  /** Of the bound, not of the figure. */
  readonly is: 'below' | 'above';
  readonly value: number;
  /** `promise`: what the specification demands; the gate holds to it. `aim`: what is wanted beyond. */
  readonly kind: 'promise' | 'aim';
}

export interface Stated {
  readonly promise: PromiseName;
  /** The way to contain processes, or where else the trials were made. */
  readonly containment: string;
  readonly what: string;
  readonly unit: 'ms' | '%';
  readonly trials: number;
  readonly figure: number;
  /** One-sided, towards the aim's wrong side. Null: so few trials bound nothing. */
  readonly bound95: number | null;
  readonly by: 'Clopper-Pearson' | 'bootstrap' | 'order statistics';
  readonly aims: readonly Aim[];
}

/** What a measurement is given. */
export interface Stand {
  readonly bench: Pick<Bench, 'say' | 'teardown' | 'notMeasured'>;
  readonly containment: string;
  /** At least so many. */
  readonly trials: number;
  /** Minutes instead of hours: smaller programs and shorter holds, each said in the table of its promise. */
  readonly short: boolean;
  /** Where the TMPDIRs of the cleanup lie; null: where a daemon puts them by default, on a disk. */
  readonly tempRoot: string | null;
  readonly table: (rows: readonly Readonly<Record<string, unknown>>[]) => void;
}

type Where = Pick<Stated, 'promise' | 'containment' | 'what'>;

/** @param wanted whether the share should be high, with a lower bound, or low, with an upper one */
export function share(
  where: Where,
  wanted: 'high' | 'low',
  hits: number,
  trials: number,
  aims: readonly Aim[] = [],
): Stated {
  return {
    ...where,
    unit: '%',
    trials,
    figure: (hits / trials) * 100,
    bound95: (wanted === 'high' ? lowerBound(hits, trials) : upperBound(hits, trials)) * 100,
    by: 'Clopper-Pearson',
    aims,
  };
}

/** @param strata the values of each class of a mix */
export function meanTime(where: Where, strata: readonly (readonly number[])[], aims: readonly Aim[]): Stated {
  const values = strata.flat();
  return {
    ...where,
    unit: 'ms',
    trials: values.length,
    figure: mean(values),
    bound95: meanUpperBound(strata),
    by: 'bootstrap',
    aims,
  };
}

export function quantileTime(where: Where, values: readonly number[], of: number, aims: readonly Aim[]): Stated {
  return {
    ...where,
    unit: 'ms',
    trials: values.length,
    figure: quantile(values, of),
    bound95: quantileUpperBound(values, of),
    by: 'order statistics',
    aims,
  };
}

/** `not shown`: the figure is as wanted, but so few trials do not make it sure. */
export function verdict({ figure, bound95 }: Stated, aim: Aim): 'met' | 'not shown' | 'MISSED' {
  if (bound95 !== null && within(bound95, aim)) return 'met';
  return within(figure, aim) ? 'not shown' : 'MISSED';
}

function within(figure: number, { is, value }: Aim): boolean {
  switch (is) {
    case 'below':
      return figure < value;
    case 'above':
      return figure > value;
  }
}

/** For the table of people and the JSON alike. */
export function rowOf(stated: Stated): Readonly<Record<string, unknown>> {
  const { promise, containment, what, unit, trials, figure, bound95, by, aims } = stated;
  return {
    promise,
    containment,
    what,
    unit,
    trials,
    figure,
    '95 % bound': bound95 ?? 'too few trials',
    by,
    aims: aims
      .map((aim) => {
        return `${aim.kind} ${aim.is} ${aim.value}: ${verdict(stated, aim)}`;
      })
      .join('; '),
  };
}
