/**
 * Ends a run, the one way for every cause: snapshot, brakes lifted, the scope closed in reverse, the report. The first
 * reason wins; a later request can only take the time to be polite away. Where that was a higher stage of the ladder and
 * it is what killed the tree, it is the reason.
 */

import type { CleanupReport, CleanupStep, Inventory } from '../core/audit-record.ts';
import { wallOf } from '../core/clock.ts';
import { rank } from '../core/ladder.ts';
import { describeHandles } from '../core/tool-protocol.ts';
import type { ScopeReport } from '../scope/scope.ts';
import type { Termination } from '../process/terminate.ts';
import { isFailure, snapshotOf } from './failure-snapshot.ts';
import { inventoryOf } from './inventory.ts';
import type { SupervisorPorts } from './ports.ts';
import type { EndRequest, Run } from './run.ts';
import type { EndView } from './views.ts';

/** A killed tree frees its memory at about 75 ms per GB; half a minute is a machine in trouble. */
const KILL_TIMEOUT_MS = 30_000;
/** Of the grace: for the handles that the tool registered; the rest is for it to end by itself. */
const HANDLES_SHARE = 0.5;

export class Ending {
  /** The reason stands on the tool's own stderr. */
  said = false;
  readonly #run: Run;
  readonly #ports: SupervisorPorts;
  readonly #hurry = new AbortController();
  #request: EndRequest | null = null;
  /** A higher stage was entered since. */
  #escalation: EndRequest | null = null;
  #promise: Promise<EndView> | null = null;
  termination: Termination | null = null;
  #stopBegun = false;
  #seenLate = false;
  #tempRemoved: Inventory = {};
  /** Of the grace, for the handles. */
  #handlesMs = 0;
  #handlesLeft = 0;

  constructor(run: Run, ports: SupervisorPorts) {
    this.#run = run;
    this.#ports = ports;
  }

  get request(): EndRequest | null {
    return this.#request;
  }

  /** Something of it may still live: every kill was in vain, or the stop failed on its way. */
  get survived(): boolean {
    if (this.#seenLate) return true;
    return this.termination === null ? this.#stopBegun : this.termination.how === 'survived';
  }

  /** Idempotent: one ending, one promise. */
  begin(request: EndRequest): Promise<EndView> {
    if (request.graceMs === 0) this.#hurry.abort();
    if (this.#promise === null) {
      this.#request = request;
      this.#run.state = 'stopping';
      this.#run.endRequest = request;
      this.#run.events.ending(request);
      this.#promise = this.#end(request);
    } else if (isHigher(request, this.#escalation ?? this.#request)) this.#escalation = request;
    return this.#promise;
  }

  /** The scope's finalizer of what the tool registered. @throws when something of it was not closed */
  async closeHandles(): Promise<string> {
    const { channel } = this.#run;
    const { graceMs, reason } = this.#request ?? { graceMs: 0, reason: 'requested' };
    const registered = channel?.handles ?? 0;
    if (channel === null || registered === 0) return 'none registered';
    // Its socket may not have told yet.
    if (this.#run.init.containment.membership.members().length === 0) return 'the tool has ended';
    this.#handlesLeft = registered;
    if (graceMs === 0 || this.#hurry.signal.aborted) throw new Error(`${registered} registered, and no time for them`);
    const startedMs = this.#ports.clock.monotonicMs();
    const deadlineMs = Math.floor(graceMs * HANDLES_SHARE);
    const outcome = await channel.closeHandles({ reason, deadlineMs, hurry: this.#hurry.signal });
    this.#handlesMs = this.#ports.clock.monotonicMs() - startedMs;
    this.#handlesLeft = outcome.held - outcome.closed;
    if (this.#handlesLeft > 0) throw new Error(describeHandles(outcome));
    return describeHandles(outcome);
  }

  /** Somebody was seen alive after the tree was found empty, and could not be killed. */
  foundAlive(): void {
    this.#seenLate = true;
  }

  /** What its temp dir held to the last: files may have come after they were counted. */
  tempRemoved(files: number, bytes: number): void {
    this.#tempRemoved = { temp_files: files, temp_bytes: bytes };
  }

  /** The scope's process finalizer. */
  async terminate(): Promise<string> {
    this.#stopBegun = true;
    const run = this.#run;
    const { membership, killer } = run.init.containment;
    const request = this.#request ?? { reason: 'requested', message: 'stopped', graceMs: 0 };
    const target = membership.members().map(({ pid }) => pid);
    if (target.length > 0) {
      this.#ports.recorder.record({
        kind: 'intent',
        tool: run.tool,
        run: run.id,
        action: request.graceMs > 0 ? 'terminate' : 'kill',
        reason: request.reason,
        target: { pids: target.slice(0, 100), processes: target.length },
      });
    }
    const stdin = run.process?.stdin ?? null;
    this.termination = await this.#ports.terminate(
      {
        endInput: stdin === null ? null : () => stdin.end(),
        signal: (signal) => killer.signal(signal),
        kill: () => killer.kill(),
        empty: () => membership.members().length === 0,
        exact: membership.exact,
      },
      {
        graceMs: request.graceMs === 0 ? 0 : Math.max(1, request.graceMs - this.#handlesMs),
        killTimeoutMs: KILL_TIMEOUT_MS,
        hurry: this.#hurry.signal,
        monotonicMs: () => this.#ports.clock.monotonicMs(),
      },
    );
    const { how, rounds } = this.termination;
    if (this.#escalation !== null && (how === 'killed' || how === 'survived'))
      this.#request = run.endRequest = this.#escalation;
    if (target.length > 0) {
      this.#ports.recorder.record({
        kind: 'outcome',
        tool: run.tool,
        run: run.id,
        action: request.graceMs > 0 ? 'terminate' : 'kill',
        // Where a process can hide, that nobody is seen any more is no success.
        ok: this.termination.proven,
        detail: {
          how,
          rounds,
          killMs: round(this.termination.killMs),
          graceMs: round(this.termination.graceMs),
          proven: this.termination.proven,
        },
      });
    }
    if (how !== 'survived') this.#sayWhy();
    if (how === 'survived')
      throw new Error(`${membership.members().length} processes are still alive after ${rounds} rounds of SIGKILL`);
    return how;
  }

  async #end(request: EndRequest): Promise<EndView> {
    const run = this.#run;
    const startedMs = this.#ports.clock.monotonicMs();
    // Who is to be killed at once is not counted first.
    const held = this.#attempt('what it holds could not be read', () => inventoryOf(run, request.graceMs > 0), {});
    if (isFailure(run, request.reason))
      run.snapshot = this.#attempt(
        'what it was like could not be read',
        () => snapshotOf(run, request, this.#ports),
        null,
      );
    const { leader } = run;
    if (leader !== null && request.reason !== 'exited') {
      run.lastWord ??= this.#attempt(
        'its stderr could not be opened',
        () => this.#ports.lastWord.open(leader.pid),
        null,
      );
    }
    const closed: ScopeReport = await run.init.scope.close(request.reason);
    const { survived } = this;
    const report = this.#report(closed, held, this.#ports.clock.monotonicMs() - startedMs, survived);
    this.#sayWhy();
    if (run.process !== null && !survived) run.exit = await run.process.exited;
    const { reason, message, resource } = this.#request ?? request;
    const end: EndView = {
      reason,
      message,
      ...(resource === undefined ? {} : { resource }),
      exit: run.exit,
      cleanup: report,
    };
    run.end = end;
    run.endedWallMs = wallOf(this.#ports.clock, this.#ports.clock.monotonicMs());
    run.state = survived ? 'unproven' : 'ended';
    this.#ports.recorder.record({ kind: 'cleanup', tool: run.tool, run: run.id, reason, report });
    run.events.ended(end);
    return end;
  }

  /** Once the tree is gone: whoever reads the tool's stderr to its end must not wait for the rest of the cleanup. */
  #sayWhy(): void {
    const run = this.#run;
    const request = this.#request;
    const { lastWord } = run;
    run.lastWord = null;
    this.#attempt(
      'its stderr could not be written',
      () => {
        if (request !== null && request.reason !== 'exited')
          this.said = lastWord?.write(`governor: ${run.tool}: ${request.message}`) ?? this.said;
        lastWord?.close();
      },
      undefined,
    );
  }

  /** What only tells of an end must not keep it from coming. */
  #attempt<T>(failure: string, work: () => T, otherwise: T): T {
    try {
      return work();
    } catch (error) {
      this.#ports.log.warn({ tool: this.#run.tool, run: this.#run.id, err: error }, failure);
      return otherwise;
    }
  }

  #report(closed: ScopeReport, counted: Inventory, totalMs: number, survived: boolean): CleanupReport {
    const left = this.#left(closed.steps, survived);
    const held: Record<string, number> = { ...counted };
    for (const [kind, amount] of Object.entries(this.#tempRemoved))
      if (amount > 0) held[kind] = Math.max(held[kind] ?? 0, amount);
    const reclaimed: Record<string, number> = {};
    for (const [kind, amount] of Object.entries(held)) reclaimed[kind] = Math.max(0, amount - (left[kind] ?? 0));
    const graceMs = this.#handlesMs + (this.termination?.graceMs ?? 0);
    return {
      proven: !survived && this.termination?.proven !== false,
      held,
      reclaimed,
      left,
      steps: closed.steps,
      durationMs: round(totalMs - graceMs),
      graceMs: round(graceMs),
    };
  }

  /** What could not be released, from the steps that failed; empty when all is gone. */
  #left(steps: readonly CleanupStep[], survived: boolean): Inventory {
    const left: Record<string, number> = {};
    if (survived)
      left['processes'] = this.#attempt(
        'its processes could not be counted',
        () => this.#run.init.containment.membership.members().length,
        1,
      );
    if (this.#handlesLeft > 0) left['handles'] = this.#handlesLeft;
    for (const step of steps) {
      if (step.outcome === 'ok' || step.outcome === 'skipped') continue;
      if (step.label.startsWith('3')) left['cgroups'] = this.#run.init.containment.record.directories.length;
      if (step.label.startsWith('5')) left['temp_files'] = 1;
    }
    return left;
  }
}

function isHigher({ breach }: EndRequest, than: EndRequest | null): boolean {
  return breach !== undefined && than?.breach !== undefined && rank(breach.stage) > rank(than.breach.stage);
}

function round(valueMs: number): number {
  return Math.round(valueMs * 100) / 100;
}
