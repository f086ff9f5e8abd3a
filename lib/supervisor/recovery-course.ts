/**
 * By which strategy a tool is recovered now: the one that is written, or what took its place because it kept failing; and
 * whether it is given less meanwhile. Kept beyond its registration and the daemon's life; each change is on record.
 */

import { degradedLimits } from '../core/degraded.ts';
import type { ResolvedLimits } from '../core/limits.ts';
import { setByHand } from '../core/limits.ts';
import type { RecoveryRecord, Strategy, StrategyChoice, StrategyRecord } from '../core/recovery-strategy.ts';
import { forgiven, isPossible, nextStrategy, noted } from '../core/recovery-strategy.ts';
import type { Resource } from '../core/resource.ts';
import type { ToolDefinition } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';

/** Of all tools that are not degraded. */
const NONE: ReadonlySet<Resource> = new Set();

export class RecoveryCourse {
  readonly #definition: () => ToolDefinition;
  readonly #ports: SupervisorPorts;
  /** It is given everything again. */
  readonly #onReturn: () => void;
  #timer: NodeJS.Timeout | null = null;
  /** Set by hand while it is degraded: the newer word. */
  #spared: ReadonlySet<Resource> = NONE;

  constructor(definition: () => ToolDefinition, ports: SupervisorPorts, onReturn: () => void) {
    this.#definition = definition;
    this.#ports = ports;
    this.#onReturn = onReturn;
  }

  get record(): RecoveryRecord {
    return this.#ports.recoveries.of(this.#definition().name);
  }

  /** Why another strategy than the written one is in force; null: it is not. */
  get replaced(): RecoveryRecord['replaced'] {
    const { replaced } = this.record;
    const definition = this.#definition();
    const { strategy, fallback } = definition.recovery;
    const holds =
      replaced !== null &&
      fallback &&
      // It was judged beside another setting.
      replaced.written === strategy &&
      isPossible(replaced.strategy, choiceOf(definition));
    return holds ? replaced : null;
  }

  get strategy(): Strategy {
    return this.replaced?.strategy ?? this.#definition().recovery.strategy;
  }

  get degraded(): RecoveryRecord['degraded'] {
    return this.#definition().recovery.degraded === null ? null : this.record.degraded;
  }

  /** The definition that the next run is started from. */
  applied(definition: ToolDefinition): ToolDefinition {
    const { degraded } = definition.recovery;
    if (degraded === null || this.degraded === null) return definition;
    return {
      ...definition,
      class: degraded.class ?? definition.class,
      limits: this.limitsOf(definition.limits),
      degraded: { callsAtOnce: degraded.callsAtOnce },
    };
  }

  /** What is left of these limits of the tool while it is degraded. */
  limitsOf(limits: ResolvedLimits): ResolvedLimits {
    const { degraded } = this.#definition().recovery;
    if (degraded === null || this.degraded === null) return limits;
    const spared = [...this.#spared].filter((resource) => setByHand(limits, resource) !== null);
    return degradedLimits(limits, degraded, new Set(spared));
  }

  /** Limits of the tool that somebody has set: while it is degraded they hold as they are. */
  setByHand(resources: readonly Resource[]): void {
    if (this.degraded !== null) this.#spared = new Set([...this.#spared, ...resources]);
  }

  /** Degraded is less, or more, than it was when a limit was set by hand. */
  rewritten(): void {
    this.#spared = NONE;
  }

  /** It failed: what is stable for long enough begins anew. */
  failed(why: string): void {
    this.cancel();
    const { degraded } = this.#definition().recovery;
    if (this.strategy !== 'degrade' || degraded === null || this.degraded !== null) return;
    this.#spared = NONE;
    this.#keep({ degraded: { sinceMs: this.#ports.clock.wallMs(), why } });
    this.#say('degrade', 'degraded', { class: degraded.class, callsAtOnce: degraded.callsAtOnce, why });
  }

  /** A recovery by this strategy is over. One that keeps failing is replaced. */
  attempted(strategy: Strategy, outcome: 'succeeded' | 'failed', detail: Readonly<Record<string, unknown>>): void {
    this.#note(strategy, outcome);
    this.#say(strategy, outcome, detail);
    const definition = this.#definition();
    const record = this.record.strategies[strategy];
    const { fallback, strategy: written } = definition.recovery;
    if (outcome !== 'failed' || !fallback || strategy !== this.strategy || record === undefined) return;
    const next = nextStrategy(strategy, record, choiceOf(definition));
    if (next === null) return;
    const { strategy: by, why } = next;
    this.#keep({ replaced: { strategy: by, written, sinceMs: this.#ports.clock.wallMs(), why } });
    this.#say(strategy, 'replaced', { by, why });
  }

  gaveUp(strategy: Strategy, detail: Readonly<Record<string, unknown>>): void {
    this.#note(strategy, 'gave_up');
    this.#say(strategy, 'gave_up', detail);
  }

  /** A run is up: when nothing fails for long enough, the tool is back at what is written. */
  started(): void {
    if (this.#timer !== null || (this.replaced === null && this.degraded === null)) return;
    const { returnAfterMs } = this.#definition().recovery;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#return({ stableForMs: returnAfterMs });
    }, returnAfterMs);
    this.#timer.unref();
  }

  /** Somebody has mended it: by `hand`, or with another `program` in the file. */
  reset(by: 'hand' | 'program' = 'hand'): void {
    this.cancel();
    const { strategies } = this.record;
    if (Object.values(strategies).some(({ failedInARow, recent }) => failedInARow > 0 || recent.includes('f')))
      this.#keep({
        strategies: Object.fromEntries(
          Object.entries(strategies).map(([strategy, record]) => [strategy, forgiven(record)]),
        ) as Partial<Record<Strategy, StrategyRecord>>,
      });
    this.#return({ by });
  }

  cancel(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #return(detail: Readonly<Record<string, unknown>>): void {
    const { replaced, degraded } = this;
    if (this.record.replaced !== null || this.record.degraded !== null) this.#keep({ replaced: null, degraded: null });
    if (replaced === null && degraded === null) return;
    this.#say(this.strategy, 'restored', {
      ...detail,
      ...(replaced === null ? {} : { instead: replaced.strategy }),
      degraded: degraded !== null,
    });
    if (degraded !== null) this.#onReturn();
  }

  #note(strategy: Strategy, outcome: 'succeeded' | 'failed' | 'gave_up'): void {
    const { strategies } = this.record;
    this.#keep({ strategies: { ...strategies, [strategy]: noted(strategies[strategy], outcome) } });
  }

  #keep(change: Partial<RecoveryRecord>): void {
    this.#ports.recoveries.keep(this.#definition().name, { ...this.record, ...change });
  }

  #say(
    strategy: Strategy,
    outcome: 'succeeded' | 'failed' | 'gave_up' | 'replaced' | 'degraded' | 'restored',
    detail: Readonly<Record<string, unknown>>,
  ): void {
    this.#ports.recorder.record({ kind: 'recovery', tool: this.#definition().name, strategy, outcome, detail });
  }
}

function choiceOf({ recovery, readiness, origin }: ToolDefinition): StrategyChoice {
  return {
    canDegrade: recovery.degraded !== null,
    canDemand: readiness === 'mcp' && origin !== 'run',
    budget: recovery.budget,
  };
}
