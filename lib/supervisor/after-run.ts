/** What comes after a run that has ended, or a start that failed: another start, an open breaker, or the end of an ad-hoc tool. */

import type { EndReason } from '../core/audit-record.ts';
import { GovernorError } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { ToolDefinition } from './governor.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { SupervisorPorts } from './ports.ts';
import type { Recovery } from './recovery.ts';
import type { Run } from './run.ts';
import type { FailedStart } from './starter.ts';

export interface AfterRunOptions {
  readonly ports: SupervisorPorts;
  readonly lifecycle: Lifecycle;
  readonly recovery: Recovery;
  definition(): ToolDefinition;
  /** No run, and none under way. */
  isIdle(): boolean;
  /** The daemon ends: nothing is started again. */
  isFinal(): boolean;
  /** As its recovery wants it. */
  startAgain(): Promise<Run>;
  /** The window of its failures has passed. */
  closeBreaker(): Promise<void>;
}

export class AfterRun {
  readonly #options: AfterRunOptions;
  /** An ad-hoc tool whose breaker is open goes when it closes. */
  #breakerTimer: NodeJS.Timeout | undefined;

  constructor(options: AfterRunOptions) {
    this.#options = options;
  }

  startFailed({ mode, onDemand, reason, error }: FailedStart): void {
    const { lifecycle, recovery, isIdle, isFinal } = this.#options;
    const stopped = lifecycle.state === 'deactivating' || lifecycle.state === 'unregistering' || isFinal();
    if (isIdle()) lifecycle.dispatch(lifecycle.state === 'active' ? 'last_run_ended' : 'launch_failed');
    // What somebody stopped is not started again; what is missing is not there the next time either.
    if (mode === 'managed') {
      if (stopped || isLasting(error)) recovery.undecided();
      else this.#considerRecovery(reason, onDemand ? 0 : null);
    }
    this.unregisterIfAdHoc();
  }

  /** @param wasReady a run that never became ready is reported by its start */
  ended(run: Run, reason: EndReason, wasReady: boolean): void {
    if (wasReady && run.init.mode === 'managed') this.#considerRecovery(reason, run.onDemand ? run.livedMs : null);
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
    this.#options.recovery.cancel();
    clearTimeout(this.#breakerTimer);
  }

  /** @param demandedMs how long a run that somebody demanded has lived; null for one that nobody did */
  #considerRecovery(reason: EndReason, demandedMs: number | null): void {
    const { lifecycle, recovery } = this.#options;
    if (demandedMs !== null) {
      recovery.considerOnDemand(reason, demandedMs);
      // Also when the last of several ends well: none is to be started.
      if (lifecycle.state === 'registered' && recovery.isOpen) lifecycle.dispatch('recovery_gave_up');
      return;
    }
    if (lifecycle.state !== 'registered') return recovery.undecided();
    const verdict = recovery.consider(reason);
    if (verdict === 'scheduled') lifecycle.dispatch('recovery_scheduled');
    if (verdict === 'gave_up') lifecycle.dispatch('recovery_gave_up');
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
