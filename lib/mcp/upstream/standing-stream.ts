/**
 * When the stream of a legacy server elsewhere for what belongs to no request (GET) is opened again: for as long as the channel is open,
 * ever less often, or when the server has said (`retry`).
 */

import { SdkErrorCode, SdkHttpError } from '@modelcontextprotocol/client';

const AGAIN_MS = 1_000;
const AGAIN_MAX_MS = 60_000;
/** A stream that has stood so long was no failure. */
const STOOD_MS = 2 * AGAIN_MAX_MS;
/** A server may not make us ask more often. */
const HINT_MIN_MS = 100;

/** For the SDK's transport, which counts tries and waits where it is left to: here it always waits as long, unless the server has said. */
export const RECONNECTION = {
  initialReconnectionDelay: AGAIN_MS,
  maxReconnectionDelay: AGAIN_MS,
  reconnectionDelayGrowFactor: 1,
  maxRetries: Infinity,
};

export interface StandingStreamOptions {
  /** Rejects when the server does not give one. */
  open(): Promise<void>;
  /** The server knows the session no more. */
  onGone(): void;
  monotonicMs(): number;
}

export class StandingStream {
  readonly #options: StandingStreamOptions;
  /** Since something was heard on it. */
  #failures = 0;
  #triedMs = -Infinity;
  /** Once: the server has such streams. */
  #wasOpen = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: StandingStreamOptions) {
    this.#options = options;
  }

  heard(): void {
    this.#failures = 0;
  }

  /** For the SDK, which opens again what was open. */
  readonly schedule = (reconnect: () => void, delayMs: number): (() => void) => {
    this.#wasOpen = true;
    this.#again(reconnect, delayMs);
    return () => clearTimeout(this.#timer);
  };

  /**
   * Something failed on its transport.
   * @returns whether that is to be told: an interruption is, once
   */
  failed(error: unknown): boolean {
    const status = statusOf(error);
    if (status === 404 && this.#wasOpen) {
      this.#options.onGone();
      return false;
    }
    const isNews = this.#failures === 0;
    // The SDK gives up one that could not be opened the first time.
    if (isNews && !this.#wasOpen && status !== undefined && isPassing(status)) this.#again(this.#open);
    return isNews;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  readonly #open = (): void => {
    this.#options.open().catch((error: unknown) => {
      const status = statusOf(error);
      // Without a status it was not even asked.
      if (status === undefined || isPassing(status)) this.#again(this.#open);
    });
  };

  #again(open: () => void, delayMs = AGAIN_MS): void {
    if (this.#closed) return;
    if (this.#options.monotonicMs() - this.#triedMs > STOOD_MS) this.#failures = 0;
    const growingMs = Math.min(AGAIN_MS * 2 ** this.#failures, AGAIN_MAX_MS);
    this.#failures++;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        this.#triedMs = this.#options.monotonicMs();
        open();
      },
      delayMs === AGAIN_MS ? growingMs : Math.max(delayMs, HINT_MIN_MS),
    );
    this.#timer.unref();
  }
}

/** Undefined: it is not that a stream was refused. */
function statusOf(error: unknown): number | undefined {
  const isRefused = error instanceof SdkHttpError && error.code === SdkErrorCode.ClientHttpFailedToOpenStream;
  return isRefused ? error.status : undefined;
}

function isPassing(status: number): boolean {
  return status >= 500 || status === 429;
}
