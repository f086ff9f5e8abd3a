/** CONTRACT STUB, implementation follows. */
import type { Stage, ThresholdStage } from './ladder.ts';
import type { LadderSettings, ResolvedLimits } from './limits.ts';
import type { Resource } from './resource.ts';
import type { UsageRecord } from './usage.ts';

export type Cause = 'samples' | 'deadline' | 'stall' | 'starvation' | 'kernel';

export type Decision =
  /** A stage was entered, up or (without acting) sideways. `repeat` = still in an acting stage after its quiet time. */
  | {
      readonly kind: 'enter' | 'repeat';
      readonly resource: Resource;
      readonly from: Stage;
      readonly to: ThresholdStage;
      readonly cause: Cause;
      readonly usage: number;
      readonly limit: number;
      readonly ratio: number;
    }
  | {
      readonly kind: 'leave';
      readonly resource: Resource;
      readonly from: ThresholdStage;
      readonly to: Stage;
      readonly usage: number;
      readonly limit: number;
      readonly ratio: number;
    };

/** What the policy remembers of one resource of one run. Opaque outside core; a plain value. */
export interface ResourceMemory {
  readonly stage: Stage;
}

export interface PolicyMemory {
  readonly startedAtMs: number;
  readonly resources: Readonly<Record<Resource, ResourceMemory>>;
}

export declare function initialMemory(startedAtMs: number): PolicyMemory;

/** One pure step. Same arguments, same answer. */
export declare function decide(
  memory: PolicyMemory,
  record: UsageRecord,
  limits: ResolvedLimits,
  settings: LadderSettings,
  nowMs: number,
): { readonly memory: PolicyMemory; readonly decisions: readonly Decision[] };

/** The responder acted at this stage: its quiet time starts. */
export declare function acted(memory: PolicyMemory, resource: Resource, stage: ThresholdStage, settings: LadderSettings, nowMs: number): PolicyMemory;

/** The re-read right before acting showed less: the stage falls back to what the re-read shows, with empty windows. */
export declare function withdrawn(memory: PolicyMemory, resource: Resource, stage: Stage, nowMs: number): PolicyMemory;

/** The highest stage over all resources. */
export declare function overallStage(memory: PolicyMemory): Stage;
