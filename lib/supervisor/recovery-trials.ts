/**
 * Whether a recovery has succeeded: the run that followed a failure answers within a minute, and then stays up, below every
 * stage at which it would be ended, for `stable_for`. A tool without a conversation answers by being alive.
 */

import { formatDuration } from '../core/format.ts';
import { THRESHOLD_STAGES, rank } from '../core/ladder.ts';
import type { Strategy } from '../core/recovery-strategy.ts';
import { RESOURCES } from '../core/resource.ts';
import { isEnding } from '../core/response.ts';
import type { ToolDefinition } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';
import type { Run } from './run.ts';

/** Or `ready_timeout`, where that is longer: a tool may need so long for its first answer. */
const ANSWER_WITHIN_MS = 60_000;
const PING_TIMEOUT_MS = 5_000;
const ASK_AGAIN_MS = 1_000;
const LOOK_MOST_MS = 5_000;

export interface Trial {
  readonly run: Run;
  readonly strategy: Strategy;
  /** Of how many failures in a row it is to be the end. */
  readonly attempt: number;
}

export interface TrialsOptions {
  readonly ports: SupervisorPorts;
  definition(): ToolDefinition;
  onSucceeded(trial: Trial): void;
  /** It is of no use: it is to be ended, and that will be its failure. */
  onUnanswered(run: Run, message: string): void;
}

interface Open extends Trial {
  timer: NodeJS.Timeout | null;
  /** Monotonic; null: it has not answered yet. */
  stableSinceMs: number | null;
}

export class RecoveryTrials {
  readonly #options: TrialsOptions;
  readonly #open = new Map<string, Open>();

  constructor(options: TrialsOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#open.size;
  }

  begin(trial: Trial): void {
    const open: Open = { ...trial, timer: null, stableSinceMs: null };
    this.#open.set(trial.run.id, open);
    void this.#ask(open);
  }

  /** Its run has ended. @returns null where it was none */
  take(runId: string): Trial | null {
    const open = this.#open.get(runId);
    if (open === undefined) return null;
    if (open.timer !== null) clearTimeout(open.timer);
    this.#open.delete(runId);
    return open;
  }

  cancel(): void {
    for (const runId of this.#open.keys()) this.take(runId);
  }

  async #ask(open: Open): Promise<void> {
    const { run } = open;
    if (this.#isLeft(open)) return;
    // Not stable, and the ladder's to end.
    if (isToBeEnded(run)) return this.#later(open, ASK_AGAIN_MS, () => void this.#ask(open));
    const isAnswered = await answers(run);
    if (this.#open.get(run.id) !== open || this.#isLeft(open)) return;
    if (isAnswered) {
      open.stableSinceMs = run.nowMs;
      return this.#wait(open);
    }
    const withinMs = Math.max(ANSWER_WITHIN_MS, this.#options.definition().readyTimeoutMs);
    // One that works on a call has its deadline for that.
    if (run.livedMs < withinMs || run.calls?.isEmpty === false)
      return this.#later(open, ASK_AGAIN_MS, () => void this.#ask(open));
    this.#options.onUnanswered(run, `stopped: it did not answer within ${formatDuration(withinMs)} of its start`);
  }

  #wait(open: Open): void {
    const { stableForMs } = this.#options.definition().recovery;
    const leftMs = (open.stableSinceMs ?? open.run.nowMs) + stableForMs - open.run.nowMs;
    this.#later(open, Math.max(1, Math.min(LOOK_MOST_MS, leftMs)), () => this.#look(open));
  }

  #look(open: Open): void {
    const { run } = open;
    if (this.#isLeft(open)) return;
    if (isToBeEnded(run)) open.stableSinceMs = run.nowMs;
    const stableMs = run.nowMs - (open.stableSinceMs ?? run.nowMs);
    if (stableMs < this.#options.definition().recovery.stableForMs) return this.#wait(open);
    this.#open.delete(run.id);
    this.#options.onSucceeded(open);
  }

  /** Its end has begun: what that says is told with `take`. */
  #isLeft({ run }: Open): boolean {
    return run.state !== 'running' && run.state !== 'starting';
  }

  #later(open: Open, delayMs: number, work: () => void): void {
    open.timer = setTimeout(work, delayMs);
    open.timer.unref();
  }
}

async function answers(run: Run): Promise<boolean> {
  const check = run.connection?.check;
  if (check === undefined) return run.alive;
  return check(PING_TIMEOUT_MS).catch(() => false);
}

/** A resource is at a stage whose actions end the run, whether it has been acted on or not. */
function isToBeEnded(run: Run): boolean {
  return RESOURCES.some((resource) => {
    const actions = run.limits[resource]?.actions;
    const reached = rank(run.stage(resource));
    return THRESHOLD_STAGES.some((stage) => rank(stage) <= reached && actions?.[stage].some(isEnding) === true);
  });
}
