import type { Measured, Quality } from '../../core/usage.ts';

/** A reading that is written over at each sample: no garbage at a hundred samples a second. */
export type ReusedReading = { -readonly [Key in keyof Measured]: Measured[Key] };

export function reusedReading(quality: Quality): ReusedReading {
  return { kind: 'measured', value: 0, quality, atMs: 0 };
}

export function measure(reading: ReusedReading, value: number, atMs: number): Measured {
  reading.value = value;
  reading.atMs = atMs;
  return reading;
}
