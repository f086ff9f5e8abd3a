/** From a validated entry and its layers of limits to the definition that the supervisor takes. */

import type { Problem } from '../lib/core/errors.ts';
import { THRESHOLD_STAGES } from '../lib/core/ladder.ts';
import type { ThresholdStage } from '../lib/core/ladder.ts';
import { formatRatio } from '../lib/core/format.ts';
import type { LadderSettings, ResolvedLimits } from '../lib/core/limits.ts';
import { RESOURCES } from '../lib/core/resource.ts';
import { isEnding, isOfCalls } from '../lib/core/response.ts';
import type { Action } from '../lib/core/response.ts';
import { err, ok } from '../lib/core/result.ts';
import type { Result } from '../lib/core/result.ts';
import type { ToolDefinition } from '../lib/supervisor/governor.ts';
import { cacheProblems, cacheRules } from './cache-schema.ts';
import {
  DEFAULT_CALLS,
  DEFAULT_GRACE_MS,
  DEFAULT_HEALTH_CHECK_MS,
  DEFAULT_IDLE_TIMEOUT_MS,
  DEFAULT_LADDER,
  DEFAULT_READY_TIMEOUT_MS,
  DEFAULT_SHARING,
  STARVATION,
} from './defaults.ts';
import { given } from './layers.ts';
import type { ClassDefinition } from './layers.ts';
import { leakProblems, leaksOf } from './leaks.ts';
import type { Path } from './problems.ts';
import { recoveryOf, recoveryProblems } from './recovery.ts';
import { actionsOf, resolveLimits, thresholdsOf, wantsTmpfs } from './resolve.ts';
import type { Layer, StageSettings } from './resolve.ts';
import type { ToolFields } from './schema.ts';
import type { CallsFields, LeaksFields } from './serving-schema.ts';

/** What `daemon:` says for tools that say nothing themselves. */
export interface DaemonDefaults {
  readonly dryRun: boolean;
  readonly calls: CallsFields;
  readonly leaks: LeaksFields;
  readonly sampleIntervalMs: number;
  /** `daemon.cache` is off. */
  readonly cacheOff: boolean;
}

export interface ToolPlan {
  readonly name: string;
  readonly origin: ToolDefinition['origin'];
  readonly fields: ToolFields;
  /** Variables replaced. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute. */
  readonly cwd: string | null;
  readonly class: string;
  /** Every valid one, and the names of the others too. */
  readonly classes: ReadonlyMap<string, ClassDefinition>;
  readonly classNames: readonly string[];
  /** Strongest first, built-in last. */
  readonly layers: readonly Layer[];
  readonly classCalls: CallsFields;
  readonly daemon: DaemonDefaults;
  /** Places a problem with the setting at this path below the entry. */
  readonly problemAt: (path: Path, message: string, hint: string) => Problem;
}

export function buildTool(plan: ToolPlan): Result<ToolDefinition, readonly Problem[]> {
  const { fields, origin } = plan;
  const direct = origin === 'run';
  const callsPass = !direct && fields.readiness !== 'none';
  const settings: StageSettings = { thresholds: fields.stages ?? {}, actions: fields.actions ?? {}, callsPass };
  const limits = resolveLimits(plan.layers, settings);
  const ladder = ladderOf(fields);
  const problems = contradictions(plan, settings, limits, ladder);
  if (problems.length > 0) return err(problems);
  return ok({
    name: plan.name,
    command: fields.command,
    args: fields.args ?? [],
    env: plan.env,
    cwd: plan.cwd,
    class: plan.class,
    limits,
    ladder,
    // The client of a direct run holds its stdio: only the client can start it again.
    recovery: recoveryOf(fields.recovery, direct ? 'stop' : null, { settings, classes: plan.classes }),
    graceMs: fields.grace ?? DEFAULT_GRACE_MS,
    readyTimeoutMs: fields.ready_timeout ?? DEFAULT_READY_TIMEOUT_MS,
    readiness: direct ? 'none' : (fields.readiness ?? 'mcp'),
    sharing: fields.sharing ?? DEFAULT_SHARING,
    idleTimeoutMs: fields.idle_timeout === undefined ? DEFAULT_IDLE_TIMEOUT_MS : fields.idle_timeout,
    healthCheckMs: fields.health_check === undefined ? DEFAULT_HEALTH_CHECK_MS : fields.health_check,
    calls: callsOf(plan),
    leaks: leaksOf(plan),
    ...(direct ? {} : cacheRules(fields.cache)),
    dryRun: fields.dry_run ?? plan.daemon.dryRun,
    autostart: origin === 'file' && (fields.autostart ?? true),
    origin,
  });
}

function callsOf({ fields, classCalls, daemon }: ToolPlan): ToolDefinition['calls'] {
  const calls = { ...given(daemon.calls), ...given(classCalls), ...given(fields.calls ?? {}) };
  return { queue: calls.queue ?? DEFAULT_CALLS.queue, waitMs: calls.wait ?? DEFAULT_CALLS.waitMs };
}

function ladderOf(fields: ToolFields): LadderSettings {
  if (fields.ladder === undefined && fields.on_starvation !== 'recycle') return DEFAULT_LADDER;
  const { quiet, escalate_after: escalation, cpu_warm_up: warmUp, exit_margin: margin } = fields.ladder ?? {};
  return {
    ...DEFAULT_LADDER,
    quietMs: quiet ?? DEFAULT_LADDER.quietMs,
    cpuWarmUpMs: warmUp ?? DEFAULT_LADDER.cpuWarmUpMs,
    exitMargin: margin ?? DEFAULT_LADDER.exitMargin,
    escalateAfterMs: escalationOf(escalation),
    starvation: fields.on_starvation === 'recycle' ? STARVATION : null,
  };
}

type Escalation = NonNullable<ToolFields['ladder']>['escalate_after'];

function escalationOf(given: Escalation): LadderSettings['escalateAfterMs'] {
  const defaults = DEFAULT_LADDER.escalateAfterMs;
  if (given === undefined) return defaults;
  if (given !== null && typeof given === 'object') {
    const merged: Record<keyof typeof defaults, number | null> = { ...defaults };
    for (const resource of RESOURCES) {
      if (resource === 'runtime') continue;
      const value = given[resource];
      if (value !== undefined) merged[resource] = value;
    }
    return merged;
  }
  // One for all: those that never escalate by default (cpu, runtime) have to be named.
  return {
    memory: given,
    cpu: defaults.cpu,
    file_handles: given,
    sockets: given,
    runtime: defaults.runtime,
    temp_storage: given,
    tasks: given,
  };
}

/** Settings that are valid each, but of which one would have no effect beside another. */
function contradictions(
  plan: ToolPlan,
  settings: StageSettings,
  limits: ResolvedLimits,
  ladder: LadderSettings,
): readonly Problem[] {
  const { fields, problemAt } = plan;
  const problems: Problem[] = [];
  const escalation = fields.ladder?.escalate_after;
  for (const resource of RESOURCES) {
    const named =
      resource !== 'runtime' && escalation !== null && typeof escalation === 'object'
        ? escalation[resource]
        : undefined;
    if (typeof named !== 'number' || actionsOf(resource, settings).cleanup.some(isEnding)) continue;
    problems.push(
      problemAt(
        ['ladder', 'escalate_after', resource],
        `escalate_after has no effect for ${resource}: its cleanup stage ends nothing`,
        `add actions: { ${resource}: { cleanup: [recycle] } }`,
      ),
    );
  }
  if (fields.ladder?.exit_margin !== undefined) {
    const lowest = Math.min(...RESOURCES.map((resource) => thresholdsOf(resource, settings).warning));
    if (ladder.exitMargin >= lowest) {
      problems.push(
        problemAt(
          ['ladder', 'exit_margin'],
          `exit_margin: ${formatRatio(ladder.exitMargin)} is not below the warning stage at ${formatRatio(lowest)}, which could never be left`,
          'write a smaller margin such as 5%',
        ),
      );
    }
  }
  if (fields.on_starvation === 'recycle') problems.push(...starvationProblems(plan, settings, limits));
  for (const { path, message, hint } of recoveryProblems(fields.recovery, {
    callsPass: settings.callsPass,
    sharing: fields.sharing ?? DEFAULT_SHARING,
    held: { class: plan.class, limits, settings, classes: plan.classes, classNames: plan.classNames },
  }))
    problems.push(problemAt(['recovery', ...path], message, hint));
  if (plan.origin !== 'run')
    for (const { path, message, hint } of cacheProblems(fields.cache, plan.daemon.cacheOff))
      problems.push(problemAt(['cache', ...path], message, hint));
  problems.push(
    ...servingProblems(plan),
    ...leakProblems(plan),
    ...backingProblems(plan, limits),
    ...repeatedActions(plan),
  );
  return problems;
}

/** What holds for the conversation with a tool, of a tool that holds none. */
function servingProblems({ fields, origin, problemAt }: ToolPlan): readonly Problem[] {
  // A direct run inherits the entry of a managed tool, and these with it.
  if (fields.readiness !== 'none' || origin === 'run') return [];
  const noEffect = (path: Path, key: string): Problem =>
    problemAt(path, `${key} has no effect with readiness: none: nobody speaks MCP with it`, 'take one of them out');
  const keys = (['sharing', 'idle_timeout', 'health_check', 'calls', 'cache'] as const)
    .filter((key) => fields[key] !== undefined)
    .map((key) => noEffect([key], key));
  const ofRuntime = (['renew', 'cap'] as const)
    .filter((key) => fields.limits?.runtime?.[key] !== undefined)
    .map((key) => noEffect(['limits', 'runtime', key], key));
  const actions = eachAction(fields)
    .filter(({ action }) => isOfCalls(action))
    .map(({ action, path }) => noEffect(path, action));
  return [...keys, ...ofRuntime, ...actions];
}

/** The limit is the size of that file system. */
function backingProblems({ layers, problemAt }: ToolPlan, limits: ResolvedLimits): readonly Problem[] {
  const wanted = wantsTmpfs(layers);
  if (wanted === null || limits.temp_storage !== null) return [];
  return [
    problemAt(
      ['limits', 'temp_storage'],
      `temp_storage: backing: tmpfs of ${wanted.detail} needs a limit, and there is none`,
      'give it one, or write { limit: none, backing: disk }',
    ),
  ];
}

function starvationProblems(
  { problemAt }: ToolPlan,
  settings: StageSettings,
  limits: ResolvedLimits,
): readonly Problem[] {
  const message = 'on_starvation: recycle has no effect';
  if (limits.cpu === null)
    return [problemAt(['on_starvation'], `${message}: the tool has no CPU limit`, 'give it one, such as cpu: 100%')];
  if (actionsOf('cpu', settings).throttled.includes('cpu_quota')) return [];
  return [
    problemAt(
      ['on_starvation'],
      `${message}: nothing starves without a quota`,
      'add cpu_quota to actions.cpu.throttled',
    ),
  ];
}

function repeatedActions({ fields, problemAt }: ToolPlan): readonly Problem[] {
  return eachAction(fields)
    .filter(({ action, index, list }) => list.indexOf(action) !== index)
    .map(({ action, stage, path }) =>
      problemAt(path, `${stage}: ${action} is given twice`, 'each action once, in order'),
    );
}

interface WrittenAction {
  readonly action: Action;
  readonly index: number;
  readonly list: readonly Action[];
  readonly stage: ThresholdStage;
  readonly path: Path;
}

function eachAction({ actions }: ToolFields): readonly WrittenAction[] {
  return RESOURCES.flatMap((resource) =>
    THRESHOLD_STAGES.flatMap((stage) => {
      const list: readonly Action[] = actions?.[resource]?.[stage] ?? [];
      return list.map((action, index) => ({ action, index, list, stage, path: ['actions', resource, stage, index] }));
    }),
  );
}
