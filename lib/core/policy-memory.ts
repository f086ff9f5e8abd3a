/** What the policy remembers between two samples of a run. Plain immutable values of bounded size. */

import type { Stage, ThresholdStage } from './ladder.ts';
import type { Resource } from './resource.ts';

/** A reading that was counted. Values, not stages, are kept: a changed limit judges the same samples anew. */
export interface CountedSample {
  readonly value: number;
  /** temp_storage only. */
  readonly inodes?: number;
}

/** What the policy remembers of one resource of one run. Opaque outside core, but for the stage. */
export interface ResourceMemory {
  readonly stage: Stage;
  /** Monotonic ms at which the stage began. */
  readonly sinceMs: number;
  /** The last fresh samples that count towards a hold, oldest first; emptied when a re-read showed less. */
  readonly recent: readonly CountedSample[];
  /** The last fresh sample, counted or emptied away. */
  readonly last: (CountedSample & { readonly atMs: number; readonly limit: number; readonly ratio: number }) | null;
  /** Monotonic ms until which each stage is not entered again, because the tool was acted on. 0 = free. */
  readonly quietUntilMs: Readonly<Record<ThresholdStage, number>>;
  /** Monotonic ms at which a lasting cleanup or emergency is asked for once more. */
  readonly repeatAtMs: number | null;
  /** Usage at which the stage began, threshold × limit: tells a raised limit where usage itself never falls. */
  readonly boundary: number;
}

export interface PolicyMemory {
  readonly startedAtMs: number;
  /** When the previous record was taken: kernel events are counted since then. */
  readonly recordAtMs: number | null;
  readonly resources: Readonly<Record<Resource, ResourceMemory>>;
  /** Since when every record showed memory stalled above the configured share. */
  readonly stallSinceMs: number | null;
  /** Since when every record showed the CPU quota starving the run. */
  readonly starvingSinceMs: number | null;
  /** OOM kills were reported while the daemon was stalled and have not been acted on. */
  readonly oomPending: boolean;
}

/** @param startedAtMs monotonic ms at which the run began */
export function initialMemory(startedAtMs: number): PolicyMemory {
  const fresh = initialResource(startedAtMs);
  return {
    startedAtMs,
    recordAtMs: null,
    resources: {
      memory: fresh,
      cpu: fresh,
      file_handles: fresh,
      sockets: fresh,
      runtime: fresh,
      temp_storage: fresh,
      tasks: fresh,
    },
    stallSinceMs: null,
    starvingSinceMs: null,
    oomPending: false,
  };
}

export function initialResource(nowMs: number): ResourceMemory {
  return {
    stage: 'normal',
    sinceMs: nowMs,
    recent: [],
    last: null,
    quietUntilMs: { warning: 0, throttled: 0, cleanup: 0, emergency: 0 },
    repeatAtMs: null,
    boundary: 0,
  };
}
