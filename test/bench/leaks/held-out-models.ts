/**
 * HELD OUT: families that the published figure is measured on. Committed before there was a detector and not looked at
 * while it was tuned; never changed after. Tuning has families of its own (tuning-models.ts).
 */

import type { Family, Live } from './model.ts';
import { comingAndGoing, drawnBack, steps } from './model.ts';
import { GROWTH_ENDS, LONGEST_CYCLE, leastRise } from './operating-point.ts';
import type { Random } from './random.ts';

const MIB = 2 ** 20;

/** Memory of a server at rest. */
const baseline = (random: Random): number => random.scaled(20, 400) * MIB;
const mildGarbage = (random: Random, base: number, windowMs: number) => ({
  bytes: base * random.between(0.02, 0.15),
  periodMs: windowMs * random.scaled(1 / 600, 1 / 60),
});

export const HELD_OUT_LEAKS: readonly Family[] = [
  {
    name: 'linear',
    leaking: true,
    resource: 'memory',
    model(random, pace, rate) {
      const base = baseline(random);
      const perMs = (rate * leastRise('memory', base)) / pace.windowMs;
      return { live: (atMs) => base + perMs * atMs, garbage: mildGarbage(random, base, pace.windowMs) };
    },
  },
  {
    name: 'step a call',
    leaking: true,
    resource: 'memory',
    model(random, pace, rate) {
      const base = baseline(random);
      const meanMs = pace.windowMs / random.between(15, 60);
      const mean = (rate * leastRise('memory', base) * meanMs) / pace.windowMs;
      const leaked = steps(random, meanMs, () => mean * random.between(0.5, 1.5));
      return { live: (atMs) => base + leaked(atMs), garbage: mildGarbage(random, base, pace.windowMs) };
    },
  },
  {
    name: 'slow under a saw',
    leaking: true,
    resource: 'memory',
    model(random, pace, rate) {
      const base = baseline(random);
      const perMs = (rate * leastRise('memory', base)) / pace.windowMs;
      const garbage = {
        bytes: base * random.between(0.2, 0.6),
        periodMs: pace.windowMs * random.scaled(1 / 360, 1 / 30),
      };
      return { live: (atMs) => base + perMs * atMs, garbage };
    },
  },
  {
    name: 'partial frees',
    leaking: true,
    resource: 'memory',
    model(random, pace, rate) {
      const base = baseline(random);
      const cycleMs = pace.windowMs * random.scaled(1 / 30, 1 / 8);
      const net = (rate * leastRise('memory', base) * cycleMs) / pace.windowMs;
      const gross = net / (1 - random.between(0.5, 0.8));
      const live: Live = (atMs) => {
        const cycle = Math.floor(atMs / cycleMs);
        return base + cycle * net + gross * (atMs / cycleMs - cycle);
      };
      return { live, garbage: mildGarbage(random, base, pace.windowMs) };
    },
  },
  {
    name: 'only while busy',
    leaking: true,
    resource: 'memory',
    model(random, pace, rate) {
      const base = baseline(random);
      const busyMs = pace.windowMs * random.between(1 / 12, 1 / 8);
      const idleMs = pace.windowMs * random.between(1 / 24, 1 / 8);
      const perMs = ((rate * leastRise('memory', base)) / pace.windowMs) * ((busyMs + idleMs) / busyMs);
      const live: Live = (atMs) => {
        const rounds = Math.floor(atMs / (busyMs + idleMs));
        return base + perMs * (rounds * busyMs + Math.min(busyMs, atMs - rounds * (busyMs + idleMs)));
      };
      return { live, garbage: mildGarbage(random, base, pace.windowMs) };
    },
  },
  {
    name: 'begins late',
    leaking: true,
    resource: 'memory',
    model(random, pace, rate) {
      const base = baseline(random);
      const fromMs = pace.warmUpMs + pace.windowMs * random.between(0.2, 1);
      const perMs = (rate * leastRise('memory', base)) / pace.windowMs;
      const live: Live = (atMs) => base + perMs * Math.max(0, atMs - fromMs);
      return { live, garbage: mildGarbage(random, base, pace.windowMs) };
    },
  },
  counted('file handles', 'file_handles', (random) => random.between(10, 120)),
  counted('sockets', 'sockets', (random) => random.between(2, 40)),
  counted('processes', 'tasks', (random) => random.between(4, 30)),
  {
    name: 'temporary files',
    leaking: true,
    resource: 'temp_storage',
    model(random, pace, rate) {
      const meanMs = pace.windowMs / random.between(20, 200);
      const mean = (rate * leastRise('temp_storage', 0) * meanMs) / pace.windowMs;
      const left = steps(random, meanMs, () => mean * random.waiting());
      const inUse = comingAndGoing(random, () => random.between(1, 4), pace.windowMs / 100);
      return { live: (atMs) => left(atMs) + inUse(atMs) * 0.3 * MIB };
    },
  },
];

function counted(
  name: string,
  resource: 'file_handles' | 'sockets' | 'tasks',
  level: (random: Random) => number,
): Family {
  return {
    name,
    leaking: true,
    resource,
    model(random, pace, rate) {
      const usual = level(random);
      const inUse = comingAndGoing(random, () => usual, pace.windowMs * random.scaled(1 / 300, 1 / 50));
      const leaked = steps(random, pace.windowMs / (rate * leastRise(resource, 0)), () => 1);
      return { live: (atMs) => inUse(atMs) + leaked(atMs) };
    },
  };
}

export const HELD_OUT_BENIGN: readonly Family[] = [
  {
    name: 'collector saw',
    leaking: false,
    resource: 'memory',
    model(random, pace) {
      const base = baseline(random);
      const garbage = {
        bytes: base * random.between(0.2, 0.8),
        periodMs: pace.windowMs * random.scaled(1 / 360, LONGEST_CYCLE / 1.3),
      };
      return { live: () => base, garbage };
    },
  },
  {
    name: 'cache that fills',
    leaking: false,
    resource: 'memory',
    model(random, pace, _rate, index) {
      const base = baseline(random);
      const full = base * random.between(0.2, 2);
      const endsMs = pace.warmUpMs * random.between(0.3, 1) + pace.windowMs * random.between(0, GROWTH_ENDS);
      const isEven = index % 2 === 0;
      const churn = drawnBack(random, pace.windowMs / 50);
      const live: Live = (atMs) => {
        const share = isEven ? Math.min(1, atMs / endsMs) : 1 - Math.exp((-3 * atMs) / endsMs);
        return base + full * share * (1 + 0.01 * churn(atMs));
      };
      return { live, garbage: mildGarbage(random, base, pace.windowMs) };
    },
  },
  {
    name: 'ramp of the start',
    leaking: false,
    resource: 'memory',
    model(random, pace) {
      const base = baseline(random);
      const steepMs = pace.warmUpMs * random.between(0.2, 1);
      const tailMs = pace.windowMs * random.between(0.05, GROWTH_ENDS / 3);
      const [steep, tail] = [random.between(0.5, 3), random.between(0.05, 0.3)];
      const live: Live = (atMs) =>
        base * (1 + steep * Math.min(1, atMs / steepMs) + tail * (1 - Math.exp(-Math.max(0, atMs - steepMs) / tailMs)));
      return { live, garbage: mildGarbage(random, base, pace.windowMs) };
    },
  },
  {
    name: 'bursts that are freed',
    leaking: false,
    resource: 'memory',
    model(random, pace) {
      const base = baseline(random);
      const retained = random.between(0, 0.2);
      let [untilMs, height, highest, nextMs] = [0, 0, 0, pace.windowMs * random.between(0.02, 0.3)];
      const live: Live = (atMs) => {
        if (atMs >= nextMs) {
          untilMs = nextMs + pace.windowMs * random.between(0.01, 1 / 6);
          height = base * random.scaled(0.1, 1);
          nextMs = untilMs + pace.windowMs * random.waiting() * 0.15;
        }
        if (atMs < untilMs) highest = Math.max(highest, height);
        // What the allocator has had at its highest it keeps a part of, from the first bursts on.
        return base + Math.max(atMs < untilMs ? height : 0, retained * Math.min(highest, base * 0.3));
      };
      return { live, garbage: mildGarbage(random, base, pace.windowMs) };
    },
  },
  {
    name: 'load of the day',
    leaking: false,
    resource: 'memory',
    model(random, pace, _rate, index) {
      const base = baseline(random);
      const isDay = index % 2 === 0;
      const periodMs = pace.windowMs * (isDay ? 48 : random.scaled(1 / 20, LONGEST_CYCLE));
      const phase = random.between(0, 2 * Math.PI);
      // Of a day: at its steepest half of the least rise in a window.
      const swing = isDay ? ((0.5 * leastRise('memory', base)) / 2 / Math.PI) * 48 : base * random.between(0.1, 0.5);
      const noise = drawnBack(random, pace.windowMs / 200);
      const live: Live = (atMs) =>
        base + swing * (1 + Math.sin(phase + (2 * Math.PI * atMs) / periodMs)) + 0.01 * base * noise(atMs);
      return { live, garbage: mildGarbage(random, base, pace.windowMs) };
    },
  },
  {
    name: 'fragments to a plateau',
    leaking: false,
    resource: 'memory',
    model(random, pace) {
      const base = baseline(random);
      const extra = base * random.between(0.1, 0.8);
      const roundMs = pace.windowMs * random.between(1 / 60, 1 / 20);
      const settlesMs = pace.warmUpMs + pace.windowMs * random.between(0.1, GROWTH_ENDS);
      const live: Live = (atMs) => {
        const rounds = Math.floor(atMs / roundMs) * roundMs;
        const busy = atMs - rounds < roundMs * 0.3 ? base * 0.2 : 0;
        return base + busy + extra * (1 - Math.exp((-3 * rounds) / settlesMs));
      };
      return { live, garbage: mildGarbage(random, base, pace.windowMs) };
    },
  },
  {
    name: 'walk around a mean',
    leaking: false,
    resource: 'memory',
    model(random, pace) {
      const base = baseline(random);
      const walk = drawnBack(random, pace.windowMs * random.scaled(1 / 100, 1 / 12));
      const deviation = random.between(0.01, 0.05);
      return { live: (atMs) => base * (1 + deviation * walk(atMs)) };
    },
  },
  {
    name: 'page cache reader',
    leaking: false,
    resource: 'memory',
    model(random, pace) {
      const base = baseline(random);
      // Cache does not count, but the kernel's records of what was read do, until it takes them back.
      const periodMs = pace.windowMs * random.scaled(1 / 50, LONGEST_CYCLE);
      const share = random.between(0.01, 0.1);
      return { live: (atMs) => base * (1 + (share * (atMs % periodMs)) / periodMs) };
    },
  },
  {
    name: 'log with rotation',
    leaking: false,
    resource: 'temp_storage',
    model(random, pace) {
      const full = random.scaled(1, 50) * MIB;
      const periodMs = pace.windowMs * random.scaled(1 / 100, LONGEST_CYCLE);
      const keeps = Math.min(5, Math.floor((pace.warmUpMs + GROWTH_ENDS * pace.windowMs) / periodMs));
      const live: Live = (atMs) => full * (Math.min(keeps, Math.floor(atMs / periodMs)) + (atMs % periodMs) / periodMs);
      return { live };
    },
  },
  {
    name: 'pool of workers',
    leaking: false,
    resource: 'tasks',
    model(random, pace) {
      const most = random.scaled(4, 64);
      const periodMs = pace.windowMs * random.scaled(1 / 20, LONGEST_CYCLE);
      const phase = random.between(0, 2 * Math.PI);
      const load = (atMs: number): number => most * (0.5 + 0.4 * Math.sin(phase + (2 * Math.PI * atMs) / periodMs));
      const busy = comingAndGoing(random, load, pace.windowMs / 100);
      return { live: (atMs) => 7 + busy(atMs) };
    },
  },
  {
    name: 'files opened and closed',
    leaking: false,
    resource: 'file_handles',
    model(random, pace) {
      const usual = random.scaled(10, 200);
      const inUse = comingAndGoing(random, () => usual, pace.windowMs * random.scaled(1 / 200, 1 / 20));
      return { live: (atMs) => 20 + inUse(atMs) };
    },
  },
  {
    name: 'connections kept alive',
    leaking: false,
    resource: 'sockets',
    model(random, pace) {
      const usual = random.scaled(4, 100);
      const periodMs = pace.windowMs * random.scaled(1 / 20, LONGEST_CYCLE);
      const fillsMs = pace.warmUpMs + pace.windowMs * random.between(0, GROWTH_ENDS / 3);
      const mean = (atMs: number): number =>
        usual * (1 - Math.exp((-3 * atMs) / fillsMs)) * (1 + 0.4 * Math.sin((2 * Math.PI * atMs) / periodMs));
      const open = comingAndGoing(random, mean, pace.windowMs * random.scaled(1 / 200, 1 / 30));
      return { live: (atMs) => 4 + open(atMs) };
    },
  },
];
