/** What comes after a run that has ended, or a start that failed: another start, an open breaker, or the end of an ad-hoc tool. */

import { GovernorError } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import { maskShort } from '../core/mask.ts';
import { cleanupDepth } from '../core/recovery-strategy.ts';
import type { ToolDefinition } from './governor.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { LogRing } from './log-ring.ts';
import type { SupervisorPorts } from './ports.ts';
import { postMortem } from './post-mortem.ts';
import { recoveryView } from './recovery-view.ts';
import type { Recovery } from './recovery.ts';
import { hasDoneItsWork } from './recovery-words.ts';
import type { ConsideredEnd } from './recovery-words.ts';
import type { Run } from './run.ts';
import type { FailedStart } from './starter.ts';
import type { EndView } from './views.ts';

export interface AfterRunOptions {
  readonly ports: SupervisorPorts;
  readonly lifecycle: Lifecycle;
  readonly recovery: Recovery;
  readonly logs: LogRing;
  definition(): ToolDefinition;
  /** No run, and none under way. */
  isIdle(): boolean;
  /** The daemon ends: nothing is started again. */
  isFinal(): boolean;
  /** As its recovery wants it. */
  startAgain(): Promise<Run>;
  /** The window of its failures has passed. */
  closeBreaker(): Promise<void>;
  /** Beside a run that failed: runs that nobody uses yet, or all. Never rejects. */
  endOthers(which: 'spares' | 'all', message: string): Promise<void>;
}

export class AfterRun {
  readonly #options: AfterRunOptions;
  /** An ad-hoc tool whose breaker is open goes when it closes. */
  #breakerTimer: NodeJS.Timeout | undefined;

  constructor(options: AfterRunOptions) {
    this.#options = options;
  }

  startFailed({ mode, onDemand, reason, error, run }: FailedStart): void {
    const { lifecycle, recovery, isIdle, isFinal } = this.#options;
    const stopped = lifecycle.state === 'deactivating' || lifecycle.state === 'unregistering' || isFinal();
    if (isIdle()) lifecycle.dispatch(lifecycle.state === 'active' ? 'last_run_ended' : 'launch_failed');
    // What somebody stopped is not started again; what is missing is not there the next time either.
    if (mode === 'managed') {
      if (stopped || isLasting(error)) recovery.undecided();
      else {
        const endsTool = run?.endsTool === true;
        this.#consider({
          runId: null,
          reason,
          message: messageOf(error),
          livedMs: 0,
          onDemand,
          isDone: false,
          endsTool,
        });
      }
    }
    this.unregisterIfAdHoc();
    if (run !== null && run.end !== null) this.keepPostMortem(run, run.end);
  }

  /** It was ended while it was starting, and its start went through all the same. */
  startedAndEnded(run: Run, end: EndView): void {
    if (run.state !== 'unproven') this.ended(run, end, true);
    this.keepPostMortem(run, end);
  }

  /** Once it is decided what comes next. */
  keepPostMortem(run: Run, end: EndView): void {
    const { ports, definition, recovery, logs } = this.#options;
    const around = {
      definition: definition(),
      lines: (count: number) => logs.last(count),
      recovery: recoveryView(recovery, definition()),
    };
    const document = postMortem(run, end, around, ports);
    if (document !== null) ports.postMortems.add(document);
  }

  /** @param wasReady a run that never became ready is reported by its start, when that is over */
  ended(run: Run, end: EndView, wasReady: boolean): void {
    const { id: runId, livedMs, onDemand, endsTool } = run;
    const { reason, message } = end;
    const isDone = hasDoneItsWork(end, this.#options.recovery.course.strategy);
    if (wasReady && run.init.mode === 'managed')
      this.#consider({ runId, reason, message, livedMs, onDemand, isDone, endsTool });
    run.isCounted = true;
    this.unregisterIfAdHoc();
  }

  /** Its back-off is over. */
  recover(): void {
    const { ports, lifecycle, definition, startAgain } = this.#options;
    if (lifecycle.state !== 'recovering') return;
    lifecycle.dispatch('recovery_due');
    startAgain().catch((error: unknown) => {
      ports.log.warn({ tool: definition().name, err: error }, 'a restart failed');
    });
  }

  /** `run` without an entry in the file: the tool goes with its last run, unless its next one is to be refused for a while. */
  unregisterIfAdHoc(): void {
    const { lifecycle, recovery, definition, isIdle } = this.#options;
    if (definition().origin !== 'run' || !isIdle() || lifecycle.state !== 'registered') return;
    if (recovery.breakerMayClose()) return lifecycle.dispatch('unregister_requested');
    lifecycle.dispatch('recovery_gave_up');
    this.#breakerTimer = setTimeout(() => this.#closeBreaker(), definition().recovery.windowMs);
    this.#breakerTimer.unref();
  }

  cancel(): void {
    this.#options.recovery.close();
    clearTimeout(this.#breakerTimer);
  }

  #consider(end: Omit<ConsideredEnd, 'isLast'>): void {
    const { lifecycle, recovery, isFinal, endOthers } = this.#options;
    // What a server says of itself may be anything.
    const message = maskShort(end.message);
    const verdict = recovery.consider({ ...end, message, isLast: lifecycle.state === 'registered' });
    if (verdict === 'scheduled') lifecycle.dispatch('recovery_scheduled');
    // Also when the last of several ends well: none is to be started.
    else if (lifecycle.state === 'registered' && recovery.isOpen) lifecycle.dispatch('recovery_gave_up');
    if (verdict === 'none' || isFinal()) return;
    const { strategy } = recovery.course;
    // The action `stop` is about the run that it was taken for; the strategy is about the tool.
    const depth = verdict === 'stopped' && strategy !== 'stop' ? 'run' : cleanupDepth(strategy);
    if (depth === 'run') return;
    void endOthers(
      depth,
      verdict === 'stopped' ? 'the tool failed and stays stopped' : `its tool is recovered by ${strategy}`,
    );
  }

  #closeBreaker(): void {
    const { ports, definition, closeBreaker } = this.#options;
    closeBreaker().catch((error: unknown) =>
      ports.log.error({ tool: definition().name, err: error }, 'the breaker could not be closed'),
    );
  }
}

/** Another start would come to the same. */
const LASTING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'command_not_found',
  'command_not_executable',
  'sign_in_needed',
]);

function isLasting(error: unknown): boolean {
  return error instanceof GovernorError && LASTING.has(error.code);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
