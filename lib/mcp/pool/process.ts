/**
 * One ready server process: who is with it, whether anything holds it awake, whether it still answers, and its end.
 *
 * It is awake as long as a request, a progress token, a subscription or a task is open with it, in every way of sharing.
 * A client that is only connected holds nothing: its server sleeps, and its next request wakes it.
 */

import { formatDuration } from '../../core/format.ts';
import type { EndReason } from '../../core/audit-record.ts';
import type { EndRequest } from '../../supervisor/run.ts';
import type { Pressure } from '../../supervisor/run-events.ts';
import type { ServedRun } from '../../supervisor/served.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { ServerDescription } from '../wire/session.ts';
import type { ServedConnection } from './connector.ts';
import type { Identity } from './identity.ts';
import { OwedInputs } from './owed-inputs.ts';

/** Whoever has a conversation open with it. */
export interface Attached {
  /** Its process is gone, or goes: the next request has to find another. */
  detach(): void;
  onPressure(pressure: Pressure): void;
}

export interface ProcessOptions {
  readonly run: ServedRun;
  readonly connection: ServedConnection;
  /** Whoever fits may take it over. */
  readonly isSpare: boolean;
  readonly server: string;
  readonly description: ServerDescription;
  monotonicMs(): number;
  onEnding(process: ServerProcess): void;
}

/** A process that has closed its output ends by itself in this time, or is ended. */
const CLOSED_OUTPUT_MS = 1_000;
const CHECK_TIMEOUT_MS = 5_000;
const CHECKS_FAILED = 2;
/** Nothing was open for so long, before it is recycled. */
const RECYCLE_QUIET_MS = 2_000;

export class ServerProcess {
  readonly run: ServedRun;
  readonly upstream: Upstream;
  readonly identity: Identity;
  /** `serverHash` of what it was started from. */
  readonly server: string;
  readonly description: ServerDescription;
  /** Null: nobody has taken it yet. */
  key: string | null = null;
  /** Nobody has used it yet. */
  isSpare: boolean;
  /** Nothing was known of what it offers when it came. */
  isNew = true;
  /** It was started before its client came: that has roots which it never asked for. */
  rootsUnasked = false;
  /** Idle, and no client is to come back to it with an answer. */
  get #quiet(): boolean {
    return this.idle && this.owed.isEmpty;
  }

  /** Its definition has changed: it gets no new work, and goes when it has none left. */
  outdated = false;
  readonly attached = new Set<Attached>();
  /** Resolves when its end has begun. */
  readonly ending: Promise<EndRequest>;
  /** Resolves when it is over. */
  readonly ended: Promise<void>;
  readonly #options: ProcessOptions;
  readonly owed: OwedInputs;
  #busy = 0;
  #lastUsedMs: number;
  #checksFailed = 0;
  #suspected = false;
  #alive = true;
  #idleTimer: NodeJS.Timeout | undefined;
  #checkTimer: NodeJS.Timeout | undefined;
  #closedTimer: NodeJS.Timeout | undefined;
  #soonTimer: NodeJS.Timeout | undefined;
  #recycleTimer: NodeJS.Timeout | undefined;

  constructor(options: ProcessOptions) {
    const { run, connection } = options;
    this.#options = options;
    this.run = run;
    this.upstream = connection.upstream;
    this.identity = connection.identity;
    this.server = options.server;
    this.isSpare = options.isSpare;
    this.description = options.description;
    this.#lastUsedMs = options.monotonicMs();
    this.owed = new OwedInputs(() => options.monotonicMs());
    let over!: () => void;
    let begun!: (request: EndRequest) => void;
    this.ended = new Promise((resolve) => (over = resolve));
    this.ending = new Promise((resolve) => (begun = resolve));
    run.listen({
      onEnding: (request) => {
        begun(request);
        this.#gone();
      },
      onEnded: () => over(),
      onPressure: (pressure) => this.#onPressure(pressure),
      onRecycle: () => this.#recycleWhenIdle(),
    });
    this.upstream.onEnd((reason) => this.#onClosed(reason));
    this.#armIdle(run.definition.idleTimeoutMs);
    this.#armCheck();
  }

  /** Takes new work. */
  get usable(): boolean {
    return this.#alive && !this.outdated;
  }

  get alive(): boolean {
    return this.#alive;
  }

  begin(): void {
    this.#busy++;
  }

  finish(): void {
    this.#busy--;
    this.used();
  }

  used(): void {
    this.#lastUsedMs = this.#options.monotonicMs();
    if (this.outdated) this.retire();
  }

  /** Nothing is open with it. */
  get idle(): boolean {
    const { requests, progressTokens, subscriptions, tasks } = this.upstream.holds;
    return this.#busy === 0 && requests + progressTokens + subscriptions + tasks === 0;
  }

  /** Its definition has changed: it goes as soon as nothing but subscriptions, which can be made anew, is open. */
  retire(): void {
    this.outdated = true;
    const { requests, tasks } = this.upstream.holds;
    if (this.#busy + requests + tasks === 0) void this.stop('restart', 'stopped: its definition has changed');
  }

  /** Ordered. Never rejects. */
  stop(reason: EndReason, message: string): Promise<void> {
    return this.run.stop(reason, message);
  }

  /** Once, after this time, unless it is over by then; however often it is asked for. */
  soon(inMs: number, work: () => Promise<void>): void {
    if (this.#soonTimer !== undefined || !this.#alive) return;
    this.#soonTimer = setTimeout(() => {
      this.#soonTimer = undefined;
      if (this.#alive) void work();
    }, inMs);
    this.#soonTimer.unref();
  }

  #gone(): void {
    if (!this.#alive) return;
    this.#alive = false;
    clearTimeout(this.#idleTimer);
    clearTimeout(this.#checkTimer);
    clearTimeout(this.#closedTimer);
    clearTimeout(this.#soonTimer);
    clearTimeout(this.#recycleTimer);
    this.#options.onEnding(this);
    for (const attached of this.attached) attached.detach();
    this.attached.clear();
  }

  #onPressure(pressure: Pressure): void {
    this.upstream.tell('notifications/governor/pressure', { ...pressure });
    // How long a call of somebody else's takes is not for everybody.
    if (pressure.call !== undefined && this.run.context === null) return;
    for (const attached of this.attached) attached.onPressure(pressure);
  }

  /** Mostly the first sign that it has died; the reason follows. */
  #onClosed(reason: string): void {
    if (!this.#alive) return;
    this.#closedTimer = setTimeout(
      () => void this.stop('unhealthy', `stopped: its conversation was over (${reason}), and its process went on`),
      CLOSED_OUTPUT_MS,
    );
  }

  /** A client that has just had its answer may have the next request on its way. */
  #recycleWhenIdle(): void {
    clearTimeout(this.#recycleTimer);
    if (this.run.recycle === null || !this.#alive) return;
    if (!this.#quiet) this.#lastUsedMs = this.#options.monotonicMs();
    const leftMs = this.#lastUsedMs + RECYCLE_QUIET_MS - this.#options.monotonicMs();
    if (leftMs <= 1) return void this.stop('leak', this.run.recycle());
    this.#recycleTimer = setTimeout(() => this.#recycleWhenIdle(), leftMs);
    this.#recycleTimer.unref();
  }

  #armIdle(inMs: number | null): void {
    if (inMs === null || !this.#alive) return;
    this.#idleTimer = setTimeout(() => this.#checkIdle(), inMs);
    this.#idleTimer.unref();
  }

  #checkIdle(): void {
    const { idleTimeoutMs } = this.run.definition;
    if (idleTimeoutMs === null) return;
    if (!this.#quiet) this.#lastUsedMs = this.#options.monotonicMs();
    const leftMs = this.#lastUsedMs + idleTimeoutMs - this.#options.monotonicMs();
    // Timers may fire a little early.
    if (leftMs > 1) return this.#armIdle(leftMs);
    void this.stop('idle', `put to sleep: nobody had anything open with it for ${formatDuration(idleTimeoutMs)}`);
  }

  /** A request could not be handed over: one check decides, whatever else goes on. */
  suspect(): void {
    if (this.#suspected || !this.#alive) return;
    this.#suspected = true;
    void this.upstream
      .check(CHECK_TIMEOUT_MS)
      .catch(() => false)
      .then((answered) => {
        this.#suspected = false;
        if (!answered && this.#alive) void this.stop('unhealthy', 'stopped: it could not be reached any more');
      });
  }

  #armCheck(): void {
    const { healthCheckMs } = this.run.definition;
    if (healthCheckMs === null || !this.#alive) return;
    this.#checkTimer = setTimeout(() => void this.#check(healthCheckMs), healthCheckMs);
    this.#checkTimer.unref();
  }

  /** Only while it is idle: one that computes may take its time. */
  async #check(everyMs: number): Promise<void> {
    if (this.idle) {
      const answered = await this.upstream.check(Math.min(everyMs, CHECK_TIMEOUT_MS)).catch(() => false);
      if (!this.#alive) return;
      // What has begun meanwhile has a deadline of its own.
      this.#checksFailed = answered || !this.idle ? 0 : this.#checksFailed + 1;
      if (this.#checksFailed >= CHECKS_FAILED) {
        void this.stop('unhealthy', `stopped: it did not answer ${CHECKS_FAILED} health checks in a row`);
        return;
      }
    }
    this.#armCheck();
  }
}
