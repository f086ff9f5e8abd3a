/** The documents of a tool, over all of its runs. Reads nothing from the kernel. */

import { wallOf } from '../core/clock.ts';
import type { Stage } from '../core/ladder.ts';
import { higher } from '../core/ladder.ts';
import { maskArguments } from '../core/mask.ts';
import type { Resource } from '../core/resource.ts';
import { RESOURCES, UNIT } from '../core/resource.ts';
import type { ToolState } from '../core/tool-state.ts';
import type { LimitOutcome } from '../os/backend.ts';
import type { ToolDefinition } from './governor.ts';
import { elsewhereReason } from './assembly.ts';
import { leakView } from './leak-view.ts';
import type { SupervisorPorts } from './ports.ts';
import { RUNS_ELSEWHERE } from './remote.ts';
import { recoveryView } from './recovery-view.ts';
import type { Run } from './run.ts';
import { enforcementOf, iso, limitViews, runResource, runView } from './run-view.ts';
import type { Tool } from './tool.ts';
import type { ResourceUsageView, ToolView, UsageView } from './views.ts';

/** @param isWhole with what takes a moment to work out: for one tool, not for a list */
export function toolView(tool: Tool, ports: SupervisorPorts, isWhole = false): ToolView {
  const { definition } = tool;
  const live = [...tool.runs.values()].map(({ run }) => run);
  const [firstLive] = live;
  const unseen = firstLive === undefined ? notGoverned(definition) : firstLive.init.notGoverned;
  const runs = live.map((run) => runView(run, ports));
  const signIn = ports.signIn.view(definition);
  return {
    name: tool.name,
    state: tool.state,
    stage: runs.reduce<Stage>((stage, run) => higher(stage, run.stage), 'normal'),
    origin: definition.origin,
    managed: definition.origin !== 'run',
    command: maskArguments([definition.command, ...definition.args]),
    class: definition.class,
    runs,
    limits: limitViews(
      definition.limits,
      firstLive?.outcomes ?? expected(definition, ports),
      unseen,
      definition.readiness === 'mcp' && definition.origin !== 'run',
    ),
    lastEnd: tool.lastEnd,
    server: tool.server,
    recovery: recoveryView(tool.recovery, definition),
    ...(signIn === null ? {} : { signIn }),
    leaks: leakView(definition, live, ports.leaks, isWhole, unseen),
  };
}

/** Without a run nothing is enforced yet: what this host would do for one. In a dry run that is nothing. */
function expected({ dryRun }: ToolDefinition, { backend }: SupervisorPorts): readonly LimitOutcome[] {
  return dryRun ? [] : backend.capabilities.map(({ resource, enforcement }) => ({ resource, enforcement }));
}

function notGoverned(definition: ToolDefinition): string | null {
  return definition.remote === undefined ? elsewhereReason(definition) : RUNS_ELSEWHERE;
}

export function usageView(tool: Tool, ports: SupervisorPorts): UsageView {
  const runs = [...tool.runs.values()].map(({ run }) => run).filter((run) => run.last !== null);
  return {
    tool: tool.name,
    state: tool.state,
    at: iso(ports.clock.wallMs()),
    resources: RESOURCES.map((resource) => toolResource(resource, tool, runs, ports)),
    runs: runs.map((run) => ({
      run: run.id,
      at: iso(wallOf(ports.clock, run.last?.atMs ?? 0)),
      resources: RESOURCES.map((resource) => runResource(resource, run, ports.clock)),
    })),
  };
}

/** Why there is nothing to measure. */
const WITHOUT_RUN: Partial<Record<ToolState, string>> = {
  registered: 'asleep',
  activating: 'not sampled yet',
  active: 'not sampled yet',
  recovering: 'it is started again soon',
  failed: 'held back after repeated failures',
};

/** A tool's usage is the sum over its runs, its ratio and stage the highest; one unread run makes the sum unread. */
function toolResource(resource: Resource, tool: Tool, runs: readonly Run[], ports: SupervisorPorts): ResourceUsageView {
  const views = runs.map((run) => runResource(resource, run, ports.clock));
  const first = views[0];
  if (first === undefined) {
    const { definition } = tool;
    return {
      resource,
      unit: UNIT[resource],
      usage: null,
      limit: definition.limits[resource]?.limit ?? null,
      ratio: null,
      stage: 'normal',
      at: null,
      ...(definition.remote === undefined
        ? {
            quality: 'gone',
            enforcement: enforcementOf(
              resource,
              definition.limits,
              expected(definition, ports),
              notGoverned(definition),
            ),
            unsupported: WITHOUT_RUN[tool.state] ?? 'not running',
          }
        : {
            quality: 'unsupported',
            enforcement: resource === 'runtime' && definition.limits.runtime !== null ? 'polled' : 'none',
            unsupported: RUNS_ELSEWHERE,
          }),
    };
  }
  if (views.length === 1) return first;
  const unread = views.find((view) => view.usage === null);
  // Calls are activations of their own: the longest counts.
  const isOfCalls = resource === 'runtime' && runs.some(({ calls }) => calls !== null);
  const total = (sum: number, usage: number): number => (isOfCalls ? Math.max(sum, usage) : sum + usage);
  const ratios = views.flatMap((view) => (view.ratio === null ? [] : [view.ratio]));
  return {
    ...first,
    ...(unread === undefined
      ? { usage: views.reduce((sum, view) => total(sum, view.usage ?? 0), 0), quality: worst(views) }
      : {
          usage: null,
          quality: unread.quality,
          at: null,
          ...(unread.unsupported === undefined ? {} : { unsupported: unread.unsupported }),
        }),
    ratio: ratios.length === 0 ? null : Math.max(...ratios),
    stage: views.reduce<Stage>((stage, view) => higher(stage, view.stage), 'normal'),
  };
}

const QUALITY_ORDER: readonly ResourceUsageView['quality'][] = ['cgroup', 'exact', 'pss', 'rss-sum', 'estimate'];

function worst(views: readonly ResourceUsageView[]): ResourceUsageView['quality'] {
  return views
    .map((view) => view.quality)
    .reduce((a, b) => (QUALITY_ORDER.indexOf(a) >= QUALITY_ORDER.indexOf(b) ? a : b));
}
