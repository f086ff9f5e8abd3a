/**
 * Families to tune on. Several share their mechanism, and ranges that overlap, with families that the figure is measured on
 * (README.md says which): of the models that figure is no proof for what is different.
 */

import type { Family, Live } from './model.ts';
import { comingAndGoing, drawnBack, steps } from './model.ts';
import { leastRise } from './operating-point.ts';
import type { Random } from './random.ts';

const MIB = 2 ** 20;

const baseline = (random: Random): number => random.scaled(8, 900) * MIB;

export const TUNING_LEAKS: readonly Family[] = [
  {
    name: 'stairs',
    leaking: true,
    resource: 'memory',
    model(random, pace, rate) {
      const base = baseline(random);
      const everyMs = pace.windowMs / random.between(8, 25);
      const rise = (rate * leastRise('memory', base) * everyMs) / pace.windowMs;
      return { live: (atMs) => base + rise * Math.floor(atMs / everyMs) };
    },
  },
  {
    name: 'ever faster',
    leaking: true,
    resource: 'memory',
    model(random, pace, rate) {
      const base = baseline(random);
      const perMs = (rate * leastRise('memory', base)) / pace.windowMs;
      const live: Live = (atMs) => base + perMs * atMs * (1 + atMs / (4 * pace.windowMs));
      return { live, garbage: { bytes: base * 0.1, periodMs: pace.windowMs / 40 } };
    },
  },
  {
    name: 'noisy line',
    leaking: true,
    resource: 'memory',
    model(random, pace, rate) {
      const base = baseline(random);
      const perMs = (rate * leastRise('memory', base)) / pace.windowMs;
      const noise = drawnBack(random, pace.windowMs / 500);
      return { live: (atMs) => base * (1 + 0.015 * noise(atMs)) + perMs * atMs };
    },
  },
  {
    name: 'listeners under a tall saw',
    leaking: true,
    resource: 'memory',
    model(random, pace, rate) {
      const base = baseline(random);
      const perMs = (rate * leastRise('memory', base)) / pace.windowMs;
      const garbage = { bytes: base * 0.9, periodMs: pace.windowMs * random.scaled(1 / 200, 1 / 25) };
      return { live: (atMs) => base + perMs * atMs, garbage };
    },
  },
  ...(['file_handles', 'sockets', 'tasks'] as const).map((resource): Family => ({
    name: `pairs of ${resource}`,
    leaking: true,
    resource,
    model(random, pace, rate) {
      const leaked = steps(random, (2 * pace.windowMs) / (rate * leastRise(resource, 0)), () => 2);
      const churn = comingAndGoing(random, () => 25, pace.windowMs / 120);
      return { live: (atMs) => 9 + leaked(atMs) + churn(atMs) };
    },
  })),
  {
    name: 'large temporary files',
    leaking: true,
    resource: 'temp_storage',
    model(random, pace, rate) {
      const everyMs = pace.windowMs / 16;
      const rise = (rate * leastRise('temp_storage', 0) * everyMs) / pace.windowMs;
      const left = steps(random, everyMs, () => rise);
      return { live: left };
    },
  },
];

export const TUNING_BENIGN: readonly Family[] = [
  {
    name: 'idle',
    leaking: false,
    resource: 'memory',
    model(random) {
      const base = baseline(random);
      return { live: () => base };
    },
  },
  {
    name: 'drift that slows down',
    leaking: false,
    resource: 'memory',
    model(random, pace) {
      const base = baseline(random);
      const share = random.between(0.1, 1);
      const tauMs = (pace.warmUpMs + 0.5 * pace.windowMs) / 3;
      return {
        live: (atMs) => base * (1 + share * (1 - Math.exp(-atMs / tauMs))),
        garbage: { bytes: base * 0.1, periodMs: pace.windowMs / 60 },
      };
    },
  },
  {
    name: 'cache of a time',
    leaking: false,
    resource: 'memory',
    model(random, pace) {
      const base = baseline(random);
      const ttlMs = pace.windowMs * random.scaled(1 / 30, 1 / 5);
      const kept = comingAndGoing(random, () => 100, ttlMs);
      return { live: (atMs) => base * (1 + 0.005 * kept(atMs)) };
    },
  },
  {
    name: 'one step',
    leaking: false,
    resource: 'memory',
    model(random, pace) {
      const base = baseline(random);
      const atStepMs = pace.warmUpMs + pace.windowMs * random.between(0, 2.5);
      const rise = base * random.between(0.1, 1);
      return { live: (atMs) => base + (atMs > atStepMs ? rise : 0) };
    },
  },
  {
    name: 'two levels',
    leaking: false,
    resource: 'memory',
    model(random, pace) {
      const base = baseline(random);
      const stayMs = pace.windowMs * random.scaled(1 / 60, 1 / 10);
      const isUp = comingAndGoing(random, () => 1, stayMs);
      return { live: (atMs) => base * (isUp(atMs) > 0 ? 1.3 : 1) };
    },
  },
  {
    name: 'long saw',
    leaking: false,
    resource: 'memory',
    model(random, pace) {
      const base = baseline(random);
      const garbage = {
        bytes: base * random.between(0.1, 1),
        periodMs: pace.windowMs * random.scaled(1 / 20, 1 / 5.5),
      };
      return { live: () => base, garbage };
    },
  },
  {
    name: 'slow wave',
    leaking: false,
    resource: 'memory',
    model(random, pace) {
      const base = baseline(random);
      const periodMs = pace.windowMs * random.scaled(0.08, 0.24);
      return { live: (atMs) => base * (1 + 0.2 * Math.sin((2 * Math.PI * atMs) / periodMs)) };
    },
  },
  ...(['file_handles', 'sockets', 'tasks'] as const).map((resource): Family => ({
    name: `churn of ${resource}`,
    leaking: false,
    resource,
    model(random, pace) {
      const usual = random.scaled(3, 300);
      const churn = comingAndGoing(random, () => usual, pace.windowMs * random.scaled(1 / 300, 1 / 16));
      const filledMs = pace.warmUpMs + pace.windowMs * random.between(0, 0.4);
      return { live: (atMs) => 9 + churn(atMs) + 30 * Math.min(1, atMs / filledMs) };
    },
  })),
  {
    name: 'scratch files',
    leaking: false,
    resource: 'temp_storage',
    model(random, pace) {
      const usual = random.scaled(1, 40);
      const files = comingAndGoing(random, () => usual, pace.windowMs * random.scaled(1 / 200, 1 / 18));
      return { live: (atMs) => files(atMs) * 2 * MIB };
    },
  },
];
