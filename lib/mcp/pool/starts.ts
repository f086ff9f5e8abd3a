/** Starts of one key happen once, however many wait for them; a start that is refused for a moment is tried again. */

import { GovernorError } from '../../core/errors.ts';

/** A caller rather waits for so long than to be told to come back. */
const PATIENCE_MS = 3_000;
/** The tool is being stopped or restarted by hand: that takes as long as it takes. */
const BUSY_RETRY_MS = 200;

export class SingleFlight<T> {
  readonly #flights = new Map<string, Promise<T>>();

  get(key: string): Promise<T> | undefined {
    return this.#flights.get(key);
  }

  values(): Iterable<Promise<T>> {
    return this.#flights.values();
  }

  /** The flight of this key, begun by the first who asks. Its failure is everybody's. */
  run(key: string, begin: () => Promise<T>): Promise<T> {
    const known = this.#flights.get(key);
    if (known !== undefined) return known;
    const flight = begin().finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }
}

/** @throws what `attempt` threw, when it is not worth the wait */
export async function patiently<T>(attempt: () => Promise<T>, monotonicMs: () => number): Promise<T> {
  const untilMs = monotonicMs() + PATIENCE_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const waitMs = retryAfterMs(error);
      if (waitMs === null || monotonicMs() + waitMs > untilMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
}

function retryAfterMs(error: unknown): number | null {
  if (!(error instanceof GovernorError)) return null;
  if (error.code === 'illegal_state') return BUSY_RETRY_MS;
  const given = error.data['retryAfterMs'];
  return error.code === 'breaker_open' && typeof given === 'number' ? given : null;
}
