/**
 * When a reading was. The order of the series is that of the host's own clock since its boot, sleep included, which nobody
 * sets; the wall clock only says what an instant is called. So:
 *
 * - within one boot of the host, instants are `uptime + base`, whatever happens to the wall clock and however often the
 *   daemon is started;
 * - a new boot begins at the wall time, but never before the end of what is there;
 * - the distance to the wall clock is kept by boot and follows it: the newest clock is believed, for all of its boot;
 * - of an earlier boot nobody can know better: its instants are called what they were called, or earlier where they would
 *   otherwise lie after those that came later.
 *
 * Instants are whole seconds of the series. Pure.
 */

export interface ClockReading {
  /** As samples are dated. */
  readonly monotonicMs: number;
  /** Since the boot of the host, time asleep included. */
  readonly uptimeMs: number;
  readonly wallMs: number;
}

export interface Boot {
  /** The kernel's name for it. */
  readonly boot: string;
  /** Of the series: its first instant. */
  readonly firstS: number;
  /** Milliseconds: instant = uptime + base. */
  readonly baseMs: number;
  /** Wall clock = instant + offset. */
  readonly offsetS: number;
}

/** A stretch of the series with one distance to the wall clock; `toS` excluded. */
export interface Stretch {
  readonly fromS: number;
  readonly toS: number;
  readonly offsetS: number;
}

/** What the wall clock drifts or is slewed by is not followed below this; nor is a sleep shorter than that. */
const TOLERANCE_MS = 1_000;
/** The first readings are older than the moment at which they are looked at, by no more than this. */
const BEFORE_S = 30;

export class Timeline {
  readonly #earlier: readonly Boot[];
  #current: Boot;
  /** Instant = monotonic + shift. */
  #shiftMs = 0;

  /**
   * @param boots as kept, oldest first
   * @param lastS the last instant that there is a reading of; null: none
   */
  constructor(boots: readonly Boot[], lastS: number | null, boot: string, reading: ClockReading) {
    const latest = boots.at(-1);
    const goesOn = latest?.boot === boot && reading.uptimeMs + latest.baseMs >= (lastS ?? -Infinity) * 1000;
    if (latest !== undefined && goesOn) {
      this.#earlier = boots.slice(0, -1);
      this.#current = latest;
    } else {
      this.#earlier = boots;
      const freeS = lastS === null ? -Infinity : lastS + 1;
      const nowMs = Math.max(reading.wallMs, (freeS + 1) * 1000);
      const firstS = Math.max(freeS, Math.floor(nowMs / 1000) - BEFORE_S);
      this.#current = { boot, firstS, baseMs: nowMs - reading.uptimeMs, offsetS: 0 };
    }
    this.#anchor(reading);
    this.note(reading);
  }

  /** All, oldest first. */
  get boots(): readonly Boot[] {
    return [...this.#earlier, this.#current];
  }

  get current(): Boot {
    return this.#current;
  }

  /** @returns true: the distance to the wall clock has changed */
  note(reading: ClockReading): boolean {
    const exactMs = reading.uptimeMs + this.#current.baseMs - reading.monotonicMs;
    // The host slept: the clock that samples are dated by stood still.
    if (exactMs - this.#shiftMs > TOLERANCE_MS) this.#anchor(reading);
    const offMs = reading.wallMs - reading.monotonicMs - this.#shiftMs - this.#current.offsetS * 1000;
    if (Math.abs(offMs) <= TOLERANCE_MS) return false;
    this.#current = { ...this.#current, offsetS: this.#current.offsetS + Math.round(offMs / 1000) };
    return true;
  }

  /** @returns the second of the series in which a monotonic instant lies */
  secondOf(monotonicMs: number): number {
    return Math.floor((monotonicMs + this.#shiftMs) / 1000);
  }

  /** What the wall clock calls an instant, seconds since the Unix epoch. */
  wallOf(second: number): number {
    const stretch = this.#stretches().find(({ toS }) => second < toS);
    return second + (stretch?.offsetS ?? this.#current.offsetS);
  }

  /** The parts of the series that the wall clock calls `fromS` to `toS`, in order. */
  within(fromS: number, toS: number): readonly Stretch[] {
    return this.#stretches()
      .map(({ offsetS, ...stretch }) => ({
        fromS: Math.max(stretch.fromS, fromS - offsetS),
        toS: Math.min(stretch.toS, toS - offsetS),
        offsetS,
      }))
      .filter((stretch) => stretch.fromS < stretch.toS);
  }

  #stretches(): readonly Stretch[] {
    const boots = this.boots;
    const stretches: Stretch[] = [];
    let toS = Infinity;
    let offsetS = Infinity;
    for (const { firstS, offsetS: own } of boots.toReversed()) {
      offsetS = Math.min(offsetS, own);
      stretches.push({ fromS: firstS, toS, offsetS });
      toS = firstS;
    }
    return stretches.reverse();
  }

  /** Samples are due at whole seconds of the monotonic clock, and late by a little: these lie in the middle of ours. */
  #anchor({ uptimeMs, monotonicMs }: ClockReading): void {
    const exactMs = uptimeMs + this.#current.baseMs - monotonicMs;
    this.#shiftMs = Math.round((exactMs - 500) / 1000) * 1000 + 500;
  }
}
