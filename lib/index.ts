/**
 * The public library: what decides and what verifies, without the daemon, and what tool authors import (which is
 * `mcp-governor/client` by itself). Every name here is public API.
 */

export { ratioOf } from './core/limits.ts';
export type { LadderSettings, ResolvedLimit, ResolvedLimits, Thresholds } from './core/limits.ts';
export { DEFAULT_THRESHOLDS, STAGES, stageOf } from './core/ladder.ts';
export type { Stage, ThresholdStage } from './core/ladder.ts';
export { acted, decide, initialMemory, overallStage, withdrawn } from './core/policy.ts';
export type { Cause, Decision, PolicyMemory } from './core/policy.ts';
export { RESOURCES, UNIT } from './core/resource.ts';
export type { Resource, Unit } from './core/resource.ts';
export type { KernelEvents, Quality, Reading, Readings, UsageRecord } from './core/usage.ts';
export { ERRORS, GovernorError } from './core/errors.ts';
export type { ErrorCode, Problem } from './core/errors.ts';
export { Scope } from './scope/scope.ts';
export type { Finalizer, ScopeReport } from './scope/scope.ts';
export { readAudit } from './observe/audit-read.ts';
export { verifyAudit } from './observe/audit-verify.ts';
export type { VerifyReport } from './observe/audit-verify.ts';
export * from './client/index.ts';
