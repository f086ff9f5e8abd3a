/** `recovery:` of a tool: what holds when nothing is written, and what would have no effect or make things worse. */

import { degradedLimits, isSame, largerIn } from '../lib/core/degraded.ts';
import type { DegradedTo } from '../lib/core/degraded.ts';
import { formatAmount } from '../lib/core/format.ts';
import type { ResolvedLimits } from '../lib/core/limits.ts';
import type { Strategy } from '../lib/core/recovery-strategy.ts';
import type { ToolDefinition } from '../lib/supervisor/governor.ts';
import { DEFAULT_RECOVERY } from './defaults.ts';
import { unknownClass } from './layers.ts';
import type { ClassDefinition } from './layers.ts';
import { quote } from './notation.ts';
import type { Path } from './problems.ts';
import { resolveLimits } from './resolve.ts';
import type { StageSettings } from './resolve.ts';
import type { RecoveryFields } from './serving-schema.ts';

export interface RecoveryProblem {
  /** Below `recovery`. */
  readonly path: Path;
  readonly message: string;
  readonly hint: string;
}

/** What of the tool around it counts. */
export interface RecoverySurroundings {
  readonly callsPass: boolean;
  readonly sharing: ToolDefinition['sharing'];
  /** Null: a server elsewhere, which no limit holds. */
  readonly held: {
    readonly class: string;
    readonly limits: ResolvedLimits;
    readonly settings: StageSettings;
    readonly classes: ReadonlyMap<string, ClassDefinition>;
    /** Also of classes that are not valid. */
    readonly classNames: readonly string[];
  } | null;
}

export function recoveryOf(
  fields: RecoveryFields | undefined,
  strategy: Strategy | null,
  held: Pick<NonNullable<RecoverySurroundings['held']>, 'settings' | 'classes'> | null,
): ToolDefinition['recovery'] {
  return {
    strategy: strategy ?? fields?.strategy ?? DEFAULT_RECOVERY.strategy,
    budget: fields?.budget?.budget ?? DEFAULT_RECOVERY.budget,
    windowMs: fields?.budget?.windowMs ?? DEFAULT_RECOVERY.windowMs,
    stableForMs: fields?.stable_for ?? DEFAULT_RECOVERY.stableForMs,
    returnAfterMs: fields?.return_after ?? Math.max(DEFAULT_RECOVERY.returnAfterMs, fields?.stable_for ?? 0),
    fallback: fields?.fallback !== 'none',
    degraded: fields?.degraded === undefined ? null : degradedTo(fields.degraded, held),
  };
}

function degradedTo(
  { class: name, calls_at_once: callsAtOnce }: NonNullable<RecoveryFields['degraded']>,
  held: Pick<NonNullable<RecoverySurroundings['held']>, 'settings' | 'classes'> | null,
): DegradedTo {
  const layers = name === undefined ? undefined : held?.classes.get(name)?.layers;
  return {
    class: name ?? null,
    limits: held === null || layers === undefined ? null : resolveLimits(layers, held.settings),
    callsAtOnce: callsAtOnce ?? null,
  };
}

export function recoveryProblems(
  fields: RecoveryFields | undefined,
  surroundings: RecoverySurroundings,
): readonly RecoveryProblem[] {
  if (fields === undefined) return [];
  const { strategy = DEFAULT_RECOVERY.strategy, degraded } = fields;
  if (strategy === 'stop')
    return (['budget', 'stable_for', 'return_after', 'fallback', 'degraded'] as const)
      .filter((key) => fields[key] !== undefined)
      .map((key) => ({
        path: [key],
        message: `${key} has no effect with strategy: stop`,
        hint: 'take one of them out',
      }));
  const problems: RecoveryProblem[] = [];
  if (strategy === 'restart-on-demand' && !surroundings.callsPass)
    problems.push({
      path: ['strategy'],
      message: 'strategy: restart-on-demand starts nothing with readiness: none: nobody speaks MCP with it',
      hint: 'write restart or stop',
    });
  if (strategy === 'degrade' && degraded === undefined)
    problems.push({
      path: ['strategy'],
      message: 'strategy: degrade does not say what the tool gets less of',
      hint: 'add degraded: { class: light } or { calls_at_once: 1 }',
    });
  if (degraded !== undefined && fields.fallback === 'none' && strategy !== 'degrade')
    problems.push({
      path: ['degraded'],
      message: `degraded has no effect: strategy: ${strategy} is never replaced with fallback: none`,
      hint: 'take one of them out',
    });
  const stableForMs = fields.stable_for ?? DEFAULT_RECOVERY.stableForMs;
  if (fields.return_after !== undefined && fields.return_after < stableForMs)
    problems.push({
      path: ['return_after'],
      message: 'return_after: is shorter than stable_for: the tool would be back before it was known to be stable',
      hint: 'write at least stable_for',
    });
  if (degraded !== undefined) problems.push(...degradedProblems(degraded, surroundings));
  return problems;
}

function degradedProblems(
  { class: name, calls_at_once: callsAtOnce }: NonNullable<RecoveryFields['degraded']>,
  { callsPass, sharing, held }: RecoverySurroundings,
): readonly RecoveryProblem[] {
  const problems: RecoveryProblem[] = [];
  if (name === undefined && callsAtOnce === undefined)
    problems.push({
      path: ['degraded'],
      message: 'degraded: says nothing',
      hint: 'name a class, calls_at_once, or both',
    });
  if (callsAtOnce !== undefined && !callsPass)
    problems.push({
      path: ['degraded', 'calls_at_once'],
      message: 'calls_at_once has no effect with readiness: none: nobody speaks MCP with it',
      hint: 'take one of them out',
    });
  if (callsAtOnce !== undefined && sharing === 'call')
    problems.push({
      path: ['degraded', 'calls_at_once'],
      message: 'calls_at_once has no effect with sharing: call: each process has one call',
      hint: 'take one of them out',
    });
  if (name !== undefined) problems.push(...classProblems(name, callsAtOnce !== undefined, held));
  return problems;
}

function classProblems(
  name: string,
  isLessAnyway: boolean,
  held: RecoverySurroundings['held'],
): readonly RecoveryProblem[] {
  const path = ['degraded', 'class'];
  const problem = (message: string, hint: string): readonly RecoveryProblem[] => [{ path, message, hint }];
  if (held === null)
    return problem('class: a server on another host is held to nothing here', 'write calls_at_once alone');
  const { classes, classNames, settings, limits } = held;
  const wanted = classes.get(name);
  if (wanted === undefined) {
    if (classNames.includes(name)) return [];
    const { message, hint } = unknownClass('class', name, classNames);
    return problem(message, hint);
  }
  if (name === held.class)
    return problem(`class: ${quote(name)} is the class that the tool has already`, 'name a smaller one');
  const own = classes.get(held.class);
  if (own === undefined) return [];
  const smaller = resolveLimits(wanted.layers, settings);
  const [larger] = largerIn(resolveLimits(own.layers, settings), smaller);
  if (larger !== undefined) {
    const { resource, normal, other } = larger;
    const theirs = other === null ? 'no limit' : formatAmount(resource, other);
    return problem(
      `class: ${quote(name)} is larger than ${quote(held.class)}: ${resource} ${theirs}, not ${formatAmount(resource, normal)}`,
      'name a class that has no more of anything',
    );
  }
  if (isLessAnyway || !isSame(limits, degradedLimits(limits, { class: name, limits: smaller, callsAtOnce: null })))
    return [];
  return problem(`class: ${quote(name)} leaves the tool all that it has`, 'name a smaller one');
}
