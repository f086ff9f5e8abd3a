/**
 * All limits that runs share. Judged after each pass of the monitor, contexts before the host; acts come one after the
 * other, so that two budgets never stop two runs for what the end of one would mend.
 */

import { hasLimits, limitsOfContext } from '../core/budget.ts';
import type { BudgetRules } from '../core/budget.ts';
import type { ResolvedLimits } from '../core/limits.ts';
import { NO_LIMITS } from '../core/limits.ts';
import { RESOURCES } from '../core/resource.ts';
import { Budget } from './budget.ts';
import { placeOf } from './budget-caps.ts';
import { holdCalls, letCallsGo } from './budget-calls.ts';
import { brakeNewcomers, refreshBrakes, releaseRun } from './budget-brakes.ts';
import { endCrippled, respondForBudget } from './budget-responder.ts';
import { isCrippled } from './budget-victim.ts';
import { Mailbox } from './mailbox.ts';
import type { Monitor } from './monitor.ts';
import type { SupervisorPorts } from './ports.ts';
import type { EndRequest, Run } from './run.ts';

export interface BudgetsOptions {
  readonly ports: SupervisorPorts;
  readonly monitor: Pick<Monitor, 'runs' | 'poke'>;
  end(run: Run, request: EndRequest): Promise<void>;
}

export class Budgets {
  readonly #options: BudgetsOptions;
  readonly #mailbox: Mailbox;
  readonly #contexts = new Map<string, Budget>();
  #host: Budget | null = null;
  #rules: BudgetRules;
  /** Caps that an earlier daemon has left around the runs that were adopted. */
  #isHostCleared = false;
  #closed = false;

  constructor(options: BudgetsOptions) {
    this.#options = options;
    this.#rules = options.ports.budgets();
    this.#mailbox = new Mailbox((error) =>
      options.ports.log.error({ err: error }, 'what a shared limit asks for could not be carried out'),
    );
  }

  /** Those that have runs; the host's first. */
  all(): readonly Budget[] {
    return [...(this.#host === null ? [] : [this.#host]), ...this.#contexts.values()];
  }

  of(context: string): Budget | null {
    return this.#contexts.get(context) ?? null;
  }

  /** As the rules are now; null: none. */
  limitsOf(context: string): ResolvedLimits | null {
    const limits = limitsOfContext(context, this.#options.ports.budgets().contexts);
    return hasLimits(limits) ? limits : null;
  }

  /** After each pass of the monitor, which goes on whatever happens here. */
  judge(): void {
    if (this.#closed) return;
    try {
      this.#judgeAll();
    } catch (error) {
      this.#options.ports.log.error({ err: error }, 'shared limits could not be judged');
    }
  }

  #judgeAll(): void {
    const rules = this.#options.ports.budgets();
    if (rules !== this.#rules) this.#change(rules);
    const nested = this.#options.ports.backend.shared !== undefined;
    const isIdle =
      !hasLimits(rules.host) && rules.contexts.length === 0 && this.#host === null && this.#contexts.size === 0;
    if (isIdle && (!nested || this.#isHostCleared)) return;
    const runs = [...this.#options.monitor.runs()].filter(
      (run) => run.alive && run.init.definition.remote === undefined,
    );
    this.#sortIn(runs, rules);
    for (const budget of [...this.#contexts.values(), ...(this.#host === null ? [] : [this.#host])])
      this.#judge(budget, runs, rules);
  }

  /** A run changed its context: nothing of the old one holds it any more. Resolves when that is so. */
  async moved(run: Run, from: string | null): Promise<void> {
    const budget = from === null ? null : this.of(from);
    if (budget !== null) {
      budget.members = budget.members.filter((member) => member !== run);
      run.sharedCaps.delete(budget.name);
      letCallsGo(budget, run);
      this.#mailbox.post(() => releaseRun(budget, run));
    }
    this.#options.monitor.poke(run.id);
    await this.#mailbox.drained();
  }

  close(): void {
    this.#closed = true;
    for (const budget of this.all()) budget.caps.close();
  }

  /** Everything posted so far is done. */
  drained(): Promise<void> {
    return this.#mailbox.drained();
  }

  #sortIn(runs: readonly Run[], rules: BudgetRules): void {
    const { ports } = this.#options;
    const members = new Map<string, Run[]>();
    for (const run of runs) {
      if (run.context === null) continue;
      const known = members.get(run.context);
      if (known === undefined) members.set(run.context, [run]);
      else known.push(run);
    }
    for (const [context, its] of members) {
      const budget = this.#contexts.get(context) ?? this.#begin(context, its, rules);
      if (budget !== null) budget.members = its;
    }
    for (const [context, budget] of this.#contexts) {
      if (members.has(context)) continue;
      budget.caps.close();
      this.#contexts.delete(context);
    }
    if (this.#host === null && runs.length > 0 && (hasLimits(rules.host) || this.#mustClear()))
      this.#host = new Budget(null, rules.host, ports);
    if (this.#host !== null) this.#host.members = runs;
  }

  #mustClear(): boolean {
    const is = !this.#isHostCleared && this.#options.ports.backend.shared !== undefined;
    this.#isHostCleared = true;
    return is;
  }

  /** Also of a context without limits whose runs lie in a group of their own: an earlier daemon had some for it. */
  #begin(context: string, runs: readonly Run[], rules: BudgetRules): Budget | null {
    const { ports } = this.#options;
    const limits = limitsOfContext(context, rules.contexts);
    const isNested = (run: Run): boolean => (placeOf(run, ports.backend.shared)?.name ?? null) !== null;
    if (!hasLimits(limits) && !runs.some(isNested)) return null;
    const budget = new Budget(context, limits, ports);
    this.#contexts.set(context, budget);
    return budget;
  }

  #judge(budget: Budget, runs: readonly Run[], rules: BudgetRules): void {
    const { ports, monitor, end } = this.#options;
    const apply = budget.caps.look(budget.members, runs, rules.dryRun ? NO_LIMITS : budget.limits);
    if (apply !== null) this.#mailbox.post(apply);
    const isCapped = budget.enforcement('memory') === 'kernel';
    for (const run of budget.members) {
      if (isCapped) run.sharedCaps.add(budget.name);
      else run.sharedCaps.delete(budget.name);
    }
    for (const run of budget.members)
      if (isCapped && isCrippled(run)) this.#mailbox.post(() => endCrippled(budget, run, { ports, end }));
    const decisions = budget.observe(rules.ladder);
    holdCalls(budget, rules.dryRun);
    const onOver = (): void => {
      for (const run of budget.members) monitor.poke(run.id);
    };
    for (const decision of decisions)
      this.#mailbox.post(() => respondForBudget(budget, decision, rules, { ports, end, onOver }));
    if (budget.brakes.size > 0) this.#mailbox.post(() => brakeNewcomers(budget));
    if (budget === this.#host && apply === null && isOver(budget)) this.#host = null;
    const inMs = budget.nextLookInMs(ports.sampleIntervalMs);
    if (inMs !== null) for (const run of budget.members) monitor.poke(run.id, inMs);
  }

  #change(rules: BudgetRules): void {
    this.#rules = rules;
    for (const budget of this.all()) {
      const limits = budget.context === null ? rules.host : limitsOfContext(budget.context, rules.contexts);
      for (const resource of RESOURCES) {
        const [before, after] = [budget.limits[resource]?.limit ?? null, limits[resource]?.limit ?? null];
        if (before === after) continue;
        const reason = limits[resource]?.reason;
        this.#options.ports.recorder.record({
          kind: 'budget',
          event: 'limits',
          budget: budget.name,
          resource,
          before,
          after,
          by: 'config reload',
          ...(reason === undefined ? {} : { reason }),
        });
      }
      budget.limits = limits;
      this.#mailbox.post(() => refreshBrakes(budget));
    }
  }
}

/** Its limits were taken away, and so was all that they had brought. */
function isOver(budget: Budget): boolean {
  return !hasLimits(budget.limits) && budget.brakes.size === 0 && budget.overallStage() === 'normal';
}
