/**
 * What one tool has used, in so little that it can be kept for every tool and for good: a decaying histogram a resource.
 * Its clock is the time in which the tool was observed: a tool that is used once a week forgets nothing in between, and
 * no step of the wall clock can age it. Constants in the manner of Kubernetes' vertical pod autoscaler
 * (aggregations_config.go, container.go), where they differ the reason is beside them.
 */

import { DecayingHistogram } from './histogram.ts';
import type { Scheme } from './histogram.ts';
import type { ProfileState, SeriesState } from './profile-state.ts';
import type { Resource } from './resource.ts';
import type { Reading, UsageRecord } from './usage.ts';

const HOUR_MS = 3_600_000;
const MIB = 1024 ** 2;

/** Of observed time. */
export const HALF_LIFE_MS = 24 * HOUR_MS;
/** One peak a window: what ends a tool is its peak, not its mean. A day there; tools here may live for minutes. */
export const PEAK_WINDOW_MS = HOUR_MS;
/** What the kernel, or the ladder, has ended for lack of it wanted more than was seen: so much more, at least. */
export const BUMP_RATIO = 1.2;
/** 100 MB there; tools here begin at a few MiB. */
export const BUMP_LEAST_BYTES = 16 * MIB;
/** Between samples of a tool that runs; a longer gap was not observed. */
const GAP_MS = 10_000;
/** A rise is what was added within this time, or twice as much. */
const RISE_MS = 5_000;

/** What has a histogram. The last three are not limits of their own. */
export const SERIES = [
  'memory',
  'cpu',
  'file_handles',
  'sockets',
  'runtime',
  'temp_storage',
  'tasks',
  /** Inodes of temp_storage. */
  'inodes',
  /** How many came within a few seconds. */
  'sockets_rise',
  'tasks_rise',
] as const;
export type SeriesName = (typeof SERIES)[number];

const MOST_COUNT: Scheme = { firstWidth: 1, most: 1e7 };
const SCHEMES: Readonly<Record<SeriesName, Scheme>> = {
  memory: { firstWidth: MIB, most: 1024 ** 4 * 4 },
  cpu: { firstWidth: 1, most: 409_600 },
  file_handles: MOST_COUNT,
  sockets: MOST_COUNT,
  runtime: { firstWidth: 100, most: 30 * 24 * HOUR_MS },
  temp_storage: { firstWidth: 64 * 1024, most: 1024 ** 4 * 64 },
  tasks: MOST_COUNT,
  inodes: { firstWidth: 16, most: 1e9 },
  sockets_rise: MOST_COUNT,
  tasks_rise: MOST_COUNT,
};

/** One resource of a profile. */
export interface Series {
  readonly name: SeriesName;
  readonly histogram: DecayingHistogram;
  /** Readings that went in: measured ones only. */
  samples: number;
  /** Runs that were ended for lack of it. */
  bumps: number;
  /** Of the window that is open; −1: nothing was measured in it. */
  peak: number;
  /** The same without what was added to it for runs that were ended: −1 as well. */
  seen: number;
  windowEndMs: number;
  /** The highest that is remembered; −1: there is none. */
  ceiling: number;
  /** Why there was no reading the last time; null: there was one. */
  unsupported: string | null;
}

/** Of one run between its samples. */
export interface RunTrack {
  atMs: number;
  readonly sockets: RiseTrack;
  readonly tasks: RiseTrack;
  /** The last runtime that was read, ms: of a whole run it counts when that ends. */
  runtimeMs: number;
  /** Its OOM kill is in the profile. */
  isBumped: boolean;
}

interface RiseTrack {
  before: number;
  now: number;
  endMs: number;
}

export function newRunTrack(): RunTrack {
  const rise = (): RiseTrack => ({ before: Infinity, now: Infinity, endMs: -Infinity });
  return { atMs: -Infinity, sockets: rise(), tasks: rise(), runtimeMs: 0, isBumped: false };
}

/** What a run can be ended for lack of, at once. */
export type Bumped = Exclude<Resource, 'cpu' | 'runtime'>;

/** A value above all that is remembered of a series. @param before the highest until now; −1: there was none */
export type OnNewHigh = (series: Series, value: number, before: number) => void;

export class UsageProfile {
  /** How long the tool was observed in all, ms: the clock of everything in here. */
  observedMs = 0;
  readonly series: Readonly<Record<SeriesName, Series>>;
  /** Told before the value is remembered. */
  onNewHigh: OnNewHigh | null = null;
  /** Monotonic; not kept. */
  #lastMs = -Infinity;

  constructor() {
    this.series = Object.fromEntries(SERIES.map((name) => [name, newSeries(name)])) as Record<SeriesName, Series>;
  }

  /**
   * A sample of one run. Makes no garbage.
   * @param ofCalls its runtime is that of the calls open in it, not of the run
   * @param gapMs a longer time between two samples was not observed, at least 10 s
   */
  observe(record: UsageRecord, track: RunTrack, ofCalls: boolean, gapMs = GAP_MS): void {
    const { atMs, readings } = record;
    const sinceMs = atMs - this.#lastMs;
    if (sinceMs > 0) {
      if (sinceMs <= Math.max(gapMs, GAP_MS)) this.observedMs += sinceMs;
      this.#lastMs = atMs;
    }
    const { series } = this;
    this.#notePeak(series.memory, readings.memory);
    this.#notePeak(series.file_handles, readings.file_handles);
    this.#noteRise(series.sockets_rise, readings.sockets, track.sockets, atMs);
    this.#notePeak(series.sockets, readings.sockets);
    this.#noteRise(series.tasks_rise, readings.tasks, track.tasks, atMs);
    this.#notePeak(series.tasks, readings.tasks);
    this.#notePeak(series.temp_storage, readings.temp_storage);
    const { temp_storage: temp, runtime } = readings;
    if (temp.kind === 'measured' && temp.inodes !== undefined) this.#peak(series.inodes, temp.inodes);
    if (runtime.kind === 'measured') {
      // Between calls there is no runtime, which is not a runtime of zero.
      if (ofCalls && runtime.value > 0) this.#peak(series.runtime, runtime.value);
      track.runtimeMs = runtime.value;
    }
    this.#noteCpu(readings.cpu, Math.min(atMs - track.atMs, GAP_MS));
    track.atMs = atMs;
  }

  /**
   * The kernel has ended a run, or a process of it, for lack of memory.
   * @param capBytes that the kernel held it to; null: none
   * @param peakBytes the most that it held, where the kernel tells
   */
  noteOomKill(capBytes: number | null, peakBytes: number | undefined): void {
    const held = Math.min(capBytes ?? Infinity, peakBytes ?? Infinity);
    this.bump('memory', Number.isFinite(held) ? held : 0);
  }

  /** A run was ended for lack of a resource that it used as much of, or more. */
  bump(name: Bumped, used: number): void {
    const series = this.series[name];
    if (this.observedMs >= series.windowEndMs) this.#closeWindow(series);
    series.bumps++;
    // Not from what was added before: a limit that stays would make it grow with each run.
    const most = Math.max(used, series.seen);
    const least = name === 'memory' || name === 'temp_storage' ? BUMP_LEAST_BYTES : 1;
    series.peak = Math.max(series.peak, most * BUMP_RATIO, most + least);
    series.ceiling = Math.max(series.ceiling, series.peak);
  }

  /** A whole run ended by itself. */
  noteRuntime(runtimeMs: number): void {
    const { runtime } = this.series;
    runtime.samples++;
    runtime.histogram.add(runtimeMs, 1, this.observedMs);
  }

  /** The part of its readings at or below this, by the time and the weight of each; null: nothing is known. */
  percentile(name: SeriesName, share: number): number | null {
    const { histogram, peak } = this.series[name];
    return histogram.percentile(share, this.observedMs, peak);
  }

  #notePeak(series: Series, reading: Reading): void {
    if (reading.kind === 'measured') this.#peak(series, reading.value);
    else if (reading.kind === 'unsupported') series.unsupported = reading.reason;
  }

  #peak(series: Series, value: number): void {
    series.samples++;
    series.unsupported = null;
    if (this.observedMs >= series.windowEndMs) this.#closeWindow(series);
    if (value <= series.seen) return;
    series.seen = value;
    if (value <= series.peak) return;
    if (value > series.ceiling) {
      this.onNewHigh?.(series, value, series.ceiling);
      series.ceiling = value;
    }
    series.peak = value;
  }

  #closeWindow(series: Series): void {
    const { histogram, peak } = series;
    if (peak >= 0) histogram.add(peak, 1, this.observedMs);
    series.peak = -1;
    series.seen = -1;
    series.windowEndMs = this.observedMs + PEAK_WINDOW_MS;
    // What was forgotten is no measure any more.
    series.ceiling = histogram.highest(this.observedMs) ?? -1;
  }

  #noteRise(series: Series, reading: Reading, track: RiseTrack, atMs: number): void {
    if (reading.kind !== 'measured') return;
    const { value } = reading;
    if (atMs >= track.endMs) {
      track.before = track.now;
      track.now = value;
      track.endMs = atMs + RISE_MS;
    } else if (value < track.now) track.now = value;
    this.#peak(series, value - Math.min(track.before, track.now));
  }

  /** Weighed by time: a tool near its limit is sampled more often. */
  #noteCpu(reading: Reading, elapsedMs: number): void {
    const { cpu } = this.series;
    if (reading.kind === 'unsupported') cpu.unsupported = reading.reason;
    if (reading.kind !== 'measured') return;
    cpu.samples++;
    cpu.unsupported = null;
    if (elapsedMs > 0) cpu.histogram.add(reading.value, elapsedMs / 1000, this.observedMs);
  }

  /** For `restoreProfile` of profile-state.ts. */
  state(): ProfileState {
    const series: Partial<Record<SeriesName, SeriesState>> = {};
    for (const name of SERIES) {
      const { histogram, samples, bumps, peak, windowEndMs } = this.series[name];
      if (samples === 0 && bumps === 0) continue;
      series[name] = {
        samples,
        bumps,
        peak,
        windowLeftMs: Math.max(0, windowEndMs - this.observedMs),
        ...histogram.state(this.observedMs),
      };
    }
    return { observedMs: this.observedMs, series };
  }
}

function newSeries(name: SeriesName): Series {
  return {
    name,
    histogram: new DecayingHistogram(SCHEMES[name], HALF_LIFE_MS),
    samples: 0,
    bumps: 0,
    peak: -1,
    seen: -1,
    windowEndMs: PEAK_WINDOW_MS,
    ceiling: -1,
    unsupported: null,
  };
}
