/**
 * Is one run leaking? Fed at its samples, judged once a bin, with memory that does not grow: seven kilobytes a run.
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

interface Watched {
  readonly resource: LeakResource;
  window: FloorWindow;
  quality: Quality | null;
  /** Grows with each window that looks like a leak, shrinks faster with each that does not. */
  evidence: number;
  /** The highest that any quarter's floor was since the warm-up, windows that have gone by included. */
  record: number;
  /** Closed bins since it last looked like a leak. */
  quiet: number;
  suspicion: Suspicion | null;
}

/** Cleared when so much of the rise was given back. */
const GIVEN_BACK = 0.5;
/** Or when it has not looked like a leak for so long. */
const QUIET_BINS = (3 * BINS) / 4;

/** One for all: it is written and read within one call. */
const scratch = new Float64Array(KEPT_BINS);

export class LeakDetector {
  readonly settings: LeakSettings;
  readonly #startedMs: number;
  readonly #binMs: number;
  readonly #watched: readonly Watched[];
  #bin = -1;

  /** @param startedMs of the run, monotonic */
  constructor(startedMs: number, settings: LeakSettings) {
    this.settings = settings;
    this.#startedMs = startedMs;
    this.#binMs = settings.windowMs / BINS;
    this.#watched = LEAK_RESOURCES.map((resource) => ({
      resource,
      window: new FloorWindow(),
      quality: null,
      evidence: 0,
      record: -Infinity,
      quiet: 0,
      suspicion: null,
    }));
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

  /** 0…1: how much of the first window is there, of the resource that has most. */
  get filled(): number {
    return Math.max(...this.#watched.map(({ window }) => window.closed)) / BINS;
  }

  /** The floors of a resource, oldest first; a copy. */
  floors(resource: LeakResource): Float64Array {
    const window = this.#watched.find((watched) => watched.resource === resource)?.window;
    return scratch.slice(0, window?.read(scratch) ?? 0);
  }

  /** @returns what has become or ceased to be a suspicion; null, mostly: nothing */
  add({ readings, atMs }: Pick<UsageRecord, 'readings' | 'atMs'>): readonly LeakChange[] | null {
    // Of what nobody has touched since, the reading still holds: the time of the look counts, not its own.
    const bin = this.binOf(atMs);
    if (bin < 0) return null;
    this.#bin = bin;
    let changes: LeakChange[] | null = null;
    for (const watched of this.#watched) {
      const reading = readings[watched.resource];
      if (reading.kind !== 'measured') continue;
      // Sums of memory by different rules are no series. A directory that is still being walked is an estimate, and the same one.
      if (watched.resource === 'memory' && watched.quality !== reading.quality) {
        if (watched.quality !== null) watched.window = new FloorWindow();
        watched.quality = reading.quality;
        watched.evidence = 0;
        watched.record = -Infinity;
      }
      if (!watched.window.add(bin, reading.value) || !watched.window.isFull) continue;
      const change = judge(watched, atMs);
      if (change !== null) (changes ??= []).push(change);
    }
    return changes;
  }
}

function judge(watched: Watched, atMs: number): LeakChange | null {
  const { resource, window, suspicion } = watched;
  const length = window.read(scratch);
  const last = scratch.subarray(length - BINS, length);
  const inTwo = length === KEPT_BINS ? leakIn(resource, scratch, 2) : null;
  const rise = inTwo ?? leakIn(resource, last, 1);
  noteEvidence(watched, rise, inTwo !== null);
  const oldest = lowestOfParts(last, LEAK_TEST.quarters)[0] as number;
  // NaN where nobody looked then.
  if (oldest > watched.record) watched.record = oldest;
  watched.quiet = rise === null ? watched.quiet + 1 : 0;
  if (suspicion !== null) {
    if (rise !== null) {
      // It began where it was first seen to begin.
      watched.suspicion = { ...suspicion, to: rise.to, rise: rise.rise };
      return null;
    }
    const cause = causeOfEnd(suspicion, last, watched.quiet);
    if (cause === null) return null;
    watched.suspicion = null;
    watched.evidence = 0;
    return { kind: 'cleared', cause, suspicion };
  }
  if (rise === null || watched.evidence < LEAK_TEST.evidence) return null;
  watched.suspicion = { resource, sinceMs: atMs, ...rise };
  return { kind: 'suspected', cause: 'floor rises', suspicion: watched.suspicion };
}

function noteEvidence(watched: Watched, rise: Rise | null, isInTwo: boolean): void {
  const { weightOfTwo, counterweight } = LEAK_TEST;
  // What comes and goes has been as high before; a leak has not.
  if (rise !== null && rise.to > watched.record) watched.evidence += isInTwo ? weightOfTwo : 1;
  else watched.evidence = Math.max(0, watched.evidence - counterweight);
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
