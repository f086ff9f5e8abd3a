/**
 * Is one run leaking? Fed at its samples, judged once a bin, with memory that does not grow: seven kilobytes a run, two more
 * where its memory is summed by two rules in turn.
 * The verdict is a suspicion, for people and for a restart at a quiet moment; nothing is ever ended for it in a hurry.
 */

import { BINS, FloorWindow, KEPT_BINS, lowestOfParts } from './floor-window.ts';
import { LEAK_RESOURCES, LEAK_TEST, leakIn } from './leak-test.ts';
import type { LeakResource, Rise } from './leak-test.ts';
import type { Quality, UsageRecord } from './usage.ts';

export interface LeakSettings {
  /** Not looked at after a start: caches, compilers and pools fill. */
  readonly warmUpMs: number;
  /** What is judged; a first verdict comes after the warm-up and this. */
  readonly windowMs: number;
}

export const DEFAULT_LEAK_SETTINGS: LeakSettings = { warmUpMs: 300_000, windowMs: 1_800_000 };

export interface Suspicion extends Rise {
  readonly resource: LeakResource;
  /** Monotonic milliseconds. */
  readonly sinceMs: number;
}

export interface LeakChange {
  readonly kind: 'suspected' | 'cleared';
  /** Of what was cleared: how that came. */
  readonly cause: 'floor rises' | 'given back' | 'has stopped growing';
  readonly suspicion: Suspicion;
}

/** What was read of a resource by one rule. */
interface Series {
  /** Null: the rule does not matter. */
  readonly quality: Quality | null;
  readonly window: FloorWindow;
  /** Grows with each window that looks like a leak, shrinks with each that does not. */
  evidence: number;
  /** The highest that any quarter's floor was since the warm-up, windows that have gone by included. */
  record: number;
  /** Closed bins since it last looked like a leak. */
  quiet: number;
}

interface Watched {
  readonly resource: LeakResource;
  series: readonly Series[];
  suspicion: Suspicion | null;
  /** Where it was suspected, or is judged since that fell silent. */
  judgedBy: Series | null;
}

/** Cleared when so much of the rise was given back. */
const GIVEN_BACK = 0.5;
/** Or when it has not looked like a leak for so long. */
const QUIET_BINS = (3 * BINS) / 4;

/** One for all: it is written and read within one call. */
const scratch = new Float64Array(KEPT_BINS);

export class LeakDetector {
  readonly settings: LeakSettings;
  readonly #binMs: number;
  #startedMs: number;
  #watched: readonly Watched[] = notWatched();
  #bin = -1;

  /** @param startedMs of the run, monotonic */
  constructor(startedMs: number, settings: LeakSettings) {
    this.settings = settings;
    this.#startedMs = startedMs;
    this.#binMs = settings.windowMs / BINS;
  }

  /**
   * The first use: caches, compilers and pools fill from now on. What is suspected already did not wait for that.
   * @param atMs monotonic
   */
  firstUsed(atMs: number): void {
    if (this.suspicions.length > 0) return;
    this.#startedMs = atMs;
    this.#watched = notWatched();
    this.#bin = -1;
  }

  /** Number of the bin that this time falls into; negative: in the warm-up. */
  binOf(atMs: number): number {
    return Math.floor((atMs - this.#startedMs - this.settings.warmUpMs) / this.#binMs);
  }

  get binMs(): number {
    return this.#binMs;
  }

  /** The last bin that no value can come to any more; negative: there is none. */
  get lastClosed(): number {
    return this.#bin - 1;
  }

  get suspicions(): readonly Suspicion[] {
    return this.#watched.flatMap(({ suspicion }) => (suspicion === null ? [] : [suspicion]));
  }

  /** The floors of a resource in bins up to the last closed one, oldest first; a copy. By the rule that says most. */
  floors(resource: LeakResource): Float64Array {
    const watched = this.#watched.find((one) => one.resource === resource);
    const all = watched?.judgedBy == null ? (watched?.series ?? []) : [watched.judgedBy];
    const copies = all.map(({ window }) => scratch.slice(0, window.read(scratch)));
    const known = (floors: Float64Array): number => floors.slice(-BINS).filter((floor) => !Number.isNaN(floor)).length;
    return copies.toSorted((a, b) => known(b) - known(a))[0] ?? new Float64Array();
  }

  /** @returns what has become or ceased to be a suspicion; null, mostly: nothing */
  add({ readings, atMs }: Pick<UsageRecord, 'readings' | 'atMs'>): readonly LeakChange[] | null {
    // Of what nobody has touched since, the reading still holds: the time of the look counts, not its own.
    const bin = this.binOf(atMs);
    if (bin < 0) return null;
    const changes = bin === this.#bin ? null : this.#close(bin, atMs);
    for (const watched of this.#watched) {
      const reading = readings[watched.resource];
      // What rises because more and more of it was found is no growth.
      if (reading.kind !== 'measured' || reading.isBeingFound === true) continue;
      // Sums of memory by different rules are no series. A directory that is still being walked is an estimate, and the same one.
      seriesOf(watched, watched.resource === 'memory' ? reading.quality : null).window.add(bin, reading.value);
    }
    return changes;
  }

  #close(bin: number, atMs: number): readonly LeakChange[] | null {
    this.#bin = bin;
    let changes: LeakChange[] | null = null;
    for (const watched of this.#watched)
      for (const series of watched.series) {
        if (!series.window.closeUpTo(bin) || !series.window.isFull) continue;
        const change = judge(watched, series, atMs);
        if (change !== null) (changes ??= []).push(change);
      }
    return changes;
  }
}

function notWatched(): readonly Watched[] {
  return LEAK_RESOURCES.map((resource) => ({ resource, series: [], suspicion: null, judgedBy: null }));
}

function seriesOf(watched: Watched, quality: Quality | null): Series {
  for (const series of watched.series) if (series.quality === quality) return series;
  const series = { quality, window: new FloorWindow(), evidence: 0, record: -Infinity, quiet: 0 };
  watched.series = [...watched.series, series];
  return series;
}

function judge(watched: Watched, series: Series, atMs: number): LeakChange | null {
  const { resource } = watched;
  const { window } = series;
  const length = window.read(scratch);
  const last = scratch.subarray(length - BINS, length);
  const inTwo = length === KEPT_BINS ? leakIn(resource, scratch, 2) : null;
  const rise = inTwo ?? leakIn(resource, last, 1);
  noteEvidence(series, rise, inTwo !== null);
  const oldest = lowestOfParts(last, LEAK_TEST.quarters)[0] as number;
  // NaN where nobody looked then.
  if (oldest > series.record) series.record = oldest;
  series.quiet = rise === null ? series.quiet + 1 : 0;
  if (watched.judgedBy !== null && watched.judgedBy !== series && !takesOver(watched, series)) return null;
  const { suspicion } = watched;
  if (suspicion !== null) {
    if (rise !== null) {
      // It began where it was first seen to begin.
      watched.suspicion = { ...suspicion, to: rise.to, rise: rise.rise };
      return null;
    }
    const cause = causeOfEnd(suspicion, last, series.quiet);
    if (cause === null) return null;
    watched.suspicion = null;
    watched.judgedBy = null;
    series.evidence = 0;
    return { kind: 'cleared', cause, suspicion };
  }
  if (rise === null || series.evidence < LEAK_TEST.evidence) return null;
  watched.suspicion = { resource, sinceMs: atMs, ...rise };
  watched.judgedBy = series;
  return { kind: 'suspected', cause: 'floor rises', suspicion: watched.suspicion };
}

/** Nothing is read by the rule of the suspicion any more: from here on by this one, that had grown as much when it came up. */
function takesOver(watched: Watched, series: Series): boolean {
  const { suspicion, judgedBy } = watched;
  if (suspicion === null || judgedBy === null || !judgedBy.window.isSilent || series.window.isSilent) return false;
  const to = scratch.subarray(0, series.window.read(scratch)).find((floor) => !Number.isNaN(floor)) as number;
  watched.suspicion = { ...suspicion, from: Math.max(0, to - (suspicion.to - suspicion.from)), to };
  watched.judgedBy = series;
  return true;
}

function noteEvidence(series: Series, rise: Rise | null, isInTwo: boolean): void {
  const { weightOfTwo, counterweight } = LEAK_TEST;
  // What comes and goes has been as high before; a leak has not.
  if (rise !== null && rise.to > series.record) series.evidence += isInTwo ? weightOfTwo : 1;
  else series.evidence = Math.max(0, series.evidence - counterweight);
}

/** Half of it was given back, or it has not looked like a leak for most of a window, in which little was added. */
function causeOfEnd(
  { from, to }: Suspicion,
  floors: Float64Array,
  quietBins: number,
): 'given back' | 'has stopped growing' | null {
  const quarters = lowestOfParts(floors, LEAK_TEST.quarters);
  const [first, last] = [quarters[0] as number, quarters.at(-1) as number];
  // A quarter that nobody looked at makes these NaN, which settles nothing.
  if (last - from <= (1 - GIVEN_BACK) * (to - from)) return 'given back';
  return quietBins >= QUIET_BINS && last - first < 0.25 * (to - from) ? 'has stopped growing' : null;
}
