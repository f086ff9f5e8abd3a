/** Limits that follow usage, and what is recommended: the profiles on one side, the live tools on the other. */

import { adapt, CHANGE_LEAST, NOT_RAISED } from '../lib/core/adapt.ts';
import type { AuditRecord } from '../lib/core/audit-record.ts';
import type { Clock } from '../lib/core/clock.ts';
import { ratioOf } from '../lib/core/limits.ts';
import { canLeak } from '../lib/core/leak-test.ts';
import type { ResolvedLimit } from '../lib/core/limits.ts';
import { maskArguments } from '../lib/core/mask.ts';
import { propose, recommend, toYaml } from '../lib/core/recommend.ts';
import type { Proposal } from '../lib/core/recommend.ts';
import { RESOURCES } from '../lib/core/resource.ts';
import type { Resource } from '../lib/core/resource.ts';
import { UsageProfile } from '../lib/core/usage-profile.ts';
import { elsewhereReason } from '../lib/supervisor/assembly.ts';
import { isFollowing } from '../lib/supervisor/change-limits.ts';
import { suspectedOf } from '../lib/supervisor/leak-view.ts';
import type { LeakWatch } from '../lib/supervisor/leak-watch.ts';
import type { Registry } from '../lib/supervisor/registry.ts';
import { RUNS_ELSEWHERE } from '../lib/supervisor/remote.ts';
import type { Tool } from '../lib/supervisor/tool.ts';
import type { RecommendationView } from '../lib/supervisor/views.ts';
import type { Profiles } from './profiles.ts';

export interface AdaptionOptions {
  readonly clock: Clock;
  readonly log: { error(data: object, message: string): void };
  readonly registry: () => Registry;
  readonly profiles: () => Profiles;
  readonly leaks: () => LeakWatch;
  record(record: AuditRecord): void;
}

interface Changed {
  readonly atMs: number;
  /** Runs that had been ended for lack of it by then. */
  readonly bumps: number;
  /** In a dry run: what was said. */
  readonly said: number | null;
}

const LOOK_EVERY_MS = 60_000;

export class Adaption {
  readonly #options: AdaptionOptions;
  readonly #changed = new Map<string, Map<Resource, Changed>>();
  readonly #busy = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: AdaptionOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#lookAtAll(), LOOK_EVERY_MS).unref();
  }

  /** A tool came, or is defined anew; null: any may be. */
  onTools(name: string | null): void {
    const { live } = this.#options.registry();
    const tools = name === null ? [...live.values()] : [live.get(name)];
    for (const tool of tools) {
      if (tool === undefined || !mayFollow(tool)) continue;
      this.#options.profiles().prepare(tool.name);
      this.look(tool.name);
    }
  }

  /** Its runtime is that of calls, also where somebody runs it whole. */
  isOfCalls(name: string): boolean {
    const tool = this.#options.registry().live.get(name);
    return tool !== undefined && isOfCalls(tool);
  }

  onForgotten(tool: string): void {
    this.#changed.delete(tool);
  }

  /** Now: something may have to change. */
  look(name: string): void {
    const tool = this.#options.registry().live.get(name);
    const profile = this.#options.profiles().known(name);
    if (tool === undefined || profile === null || !mayFollow(tool) || this.#busy.has(name)) return;
    this.#busy.add(name);
    this.#adapt(tool, profile)
      .catch((error: unknown) => this.#options.log.error({ tool: name, err: error }, 'a limit could not follow usage'))
      .finally(() => this.#busy.delete(name));
  }

  /** @throws GovernorError unknown_tool */
  async recommendation(name: string): Promise<RecommendationView> {
    const tool = this.#options.registry().find(name);
    const profile = (await this.#options.profiles().of(name)) ?? new UsageProfile();
    const { limits } = tool.definition;
    const proposals = recommend(profile, limits, isOfCalls(tool)).map((proposal) =>
      isFollowing(limits[proposal.resource]) && this.#isLeaking(tool, proposal.resource)
        ? { ...proposal, reason: `${proposal.reason}; ${NOT_RAISED}` }
        : proposal,
    );
    const note = noHistoryReason(tool);
    return {
      tool: name,
      at: new Date(this.#options.clock.wallMs()).toISOString(),
      observedMs: Math.round(profile.observedMs),
      proposals,
      yaml: note === null ? toYaml(name, proposals, limits, unwritten(tool)) : null,
      ...(note === null ? {} : { note }),
    };
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #lookAtAll(): void {
    for (const name of this.#options.registry().live.keys()) this.look(name);
  }

  async #adapt(tool: Tool, profile: UsageProfile): Promise<void> {
    for (const resource of RESOURCES) {
      const limit = tool.definition.limits[resource];
      if (!isFollowing(limit)) continue;
      const { bumps } = profile.series[resource];
      const nowMs = this.#options.clock.monotonicMs();
      const changed = this.#changedOf(tool.name, resource, bumps);
      const decision = adapt({
        limit: limit.limit,
        bounds: limit.adaptive,
        thresholds: limit.thresholds,
        exitMargin: tool.definition.ladder.exitMargin,
        proposal: withInodes(propose(resource, profile, limit, isOfCalls(tool)), limit),
        ...inUseOf(tool, resource, limit, profile),
        sinceChangeMs: nowMs - changed.atMs,
        isBumped: bumps > changed.bumps,
        isLeaking: this.#isLeaking(tool, resource),
      });
      if (decision.kind === 'keep') continue;
      const { to, reason } = decision;
      if (tool.definition.dryRun) {
        if (changed.said !== null && Math.abs(to - changed.said) < changed.said * CHANGE_LEAST) continue;
        const before = limit.limit;
        const by = 'adaptive';
        this.#options.record({
          kind: 'limits',
          tool: tool.name,
          resource,
          before,
          after: to,
          by,
          reason,
          dryRun: true,
        });
      } else if (!(await this.#options.registry().adaptLimit(tool.name, { resource, to, reason }))) continue;
      const said = tool.definition.dryRun ? to : null;
      this.#changed.get(tool.name)?.set(resource, { atMs: nowMs, bumps, said });
    }
    await this.#options.registry().catchUp(tool.name);
  }

  #isLeaking(tool: Tool, resource: Resource): boolean {
    const runs = [...tool.runs.values()].map(({ run }) => run);
    return canLeak(resource) && suspectedOf(runs, this.#options.leaks())?.has(resource) === true;
  }

  #changedOf(tool: string, resource: Resource, bumps: number): Changed {
    const ofTool = this.#changed.get(tool) ?? new Map<Resource, Changed>();
    this.#changed.set(tool, ofTool);
    const known = ofTool.get(resource);
    if (known !== undefined) return known;
    const first: Changed = { atMs: -Infinity, bumps, said: null };
    ofTool.set(resource, first);
    return first;
  }
}

function mayFollow(tool: Tool): boolean {
  return noHistoryReason(tool) === null && RESOURCES.some((resource) => isFollowing(tool.definition.limits[resource]));
}

/** What runs elsewhere is not seen from here. */
function noHistoryReason({ definition }: Tool): string | null {
  return definition.remote === undefined ? elsewhereReason(definition) : RUNS_ELSEWHERE;
}

/** The file has no entry of it yet, and one needs a command: without secrets, as everywhere. */
function unwritten({ definition }: Tool): readonly string[] | undefined {
  return definition.origin === 'run' ? maskArguments([definition.command, ...definition.args]) : undefined;
}

function isOfCalls({ definition }: Tool): boolean {
  return definition.readiness === 'mcp' && definition.origin !== 'run';
}

/** Inodes follow the bytes in proportion: there must be enough of them as well. */
function withInodes(proposal: Proposal, { limit, inodes }: ResolvedLimit): Proposal {
  if (proposal.proposed === null || proposal.inodes === undefined || inodes === undefined) return proposal;
  return { ...proposal, proposed: Math.max(proposal.proposed, Math.ceil((proposal.inodes * limit) / inodes)) };
}

function inUseOf(
  tool: Tool,
  resource: Resource,
  limit: ResolvedLimit,
  profile: UsageProfile,
): { readonly inUse: number; readonly isStaged: boolean } {
  let inUse = resource === 'cpu' ? 0 : Math.max(0, profile.series[resource].seen);
  let isStaged = false;
  for (const { run } of tool.runs.values()) {
    const reading = run.last?.readings[resource];
    if (reading?.kind === 'measured') inUse = Math.max(inUse, ratioOf(reading, limit) * limit.limit);
    // Nothing is lowered on what cannot be seen.
    else isStaged = true;
    if (run.stage(resource) !== 'normal') isStaged = true;
  }
  return { inUse, isStaged };
}
