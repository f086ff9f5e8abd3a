/** The five stages and their order. Boundaries are inclusive: a ratio of exactly 0.75 is a warning. */

export const STAGES = ['normal', 'warning', 'throttled', 'cleanup', 'emergency'] as const;
export type Stage = (typeof STAGES)[number];

/** Stages that have a threshold. */
export type ThresholdStage = Exclude<Stage, 'normal'>;
/** Stages whose action can be configured. */
export type ActingStage = ThresholdStage;

export const THRESHOLD_STAGES: readonly ThresholdStage[] = ['warning', 'throttled', 'cleanup', 'emergency'];

export const DEFAULT_THRESHOLDS = { warning: 0.75, throttled: 0.9, cleanup: 1, emergency: 1.5 } as const;

const RANKS: Readonly<Record<Stage, number>> = { normal: 0, warning: 1, throttled: 2, cleanup: 3, emergency: 4 };

export function rank(stage: Stage): number {
  return RANKS[stage];
}

export function higher(a: Stage, b: Stage): Stage {
  return rank(a) >= rank(b) ? a : b;
}

/** The stage that a ratio of usage to limit lies in. */
export function stageOf(ratio: number, thresholds: Readonly<Record<ThresholdStage, number>>): Stage {
  if (ratio >= thresholds.emergency) return 'emergency';
  if (ratio >= thresholds.cleanup) return 'cleanup';
  if (ratio >= thresholds.throttled) return 'throttled';
  if (ratio >= thresholds.warning) return 'warning';
  return 'normal';
}
