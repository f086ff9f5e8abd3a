/** A usage profile as JSON, and back: what is read may be anything. */

import type { HistogramState } from './histogram.ts';
import { PEAK_WINDOW_MS, SERIES, UsageProfile } from './usage-profile.ts';
import type { SeriesName } from './usage-profile.ts';

/** JSON. */
export interface ProfileState {
  readonly observedMs: number;
  readonly series: Readonly<Partial<Record<SeriesName, SeriesState>>>;
}

export interface SeriesState extends HistogramState {
  readonly samples: number;
  readonly bumps: number;
  readonly peak: number;
  readonly windowLeftMs: number;
}

/** @returns null for anything that `state` does not give */
export function restoreProfile(state: unknown): UsageProfile | null {
  if (!isRecord(state) || !isAmount(state['observedMs']) || !isRecord(state['series'])) return null;
  const profile = new UsageProfile();
  profile.observedMs = state['observedMs'];
  for (const [name, kept] of Object.entries(state['series'])) {
    if (!(SERIES as readonly string[]).includes(name) || !isRecord(kept)) return null;
    const { samples, bumps, peak, windowLeftMs, first, weights } = kept;
    if (!isAmount(samples) || !isAmount(bumps) || !isAmount(windowLeftMs) || !isAmount(first)) return null;
    if (typeof peak !== 'number' || !Number.isFinite(peak) || !Array.isArray(weights)) return null;
    const series = profile.series[name as SeriesName];
    if (!series.histogram.restore({ first, weights: weights as number[] }, profile.observedMs)) return null;
    series.samples = samples;
    series.bumps = bumps;
    series.peak = peak;
    series.windowEndMs = profile.observedMs + Math.min(windowLeftMs, PEAK_WINDOW_MS);
    series.ceiling = Math.max(peak, series.histogram.highest(profile.observedMs) ?? -1);
  }
  return profile;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Finite and not below zero. */
function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
