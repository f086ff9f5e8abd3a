/** The one log level that a legacy server has for a client whose requests each have their own: the most talkative that is wanted. */

import type { Session } from '../wire/session.ts';
import { LOG_LEVELS } from './levels.ts';
import type { LogLevel } from './levels.ts';
import { quietly } from './quiet.ts';

const SET_TIMEOUT_MS = 5_000;

export class SharedLevel {
  readonly #session: Pick<Session, 'request'>;
  readonly #open = LOG_LEVELS.map(() => 0);
  #set: LogLevel | null = null;

  constructor(session: Pick<Session, 'request'>) {
    this.#session = session;
  }

  /** @returns null where the server has it already; else resolves when it has, or does not answer */
  want(level: LogLevel): Promise<void> | null {
    const index = LOG_LEVELS.indexOf(level);
    this.#open[index] = (this.#open[index] ?? 0) + 1;
    const wanted = LOG_LEVELS[this.#open.findIndex((count) => count > 0)] ?? level;
    if (wanted === this.#set) return null;
    this.#set = wanted;
    return quietly(this.#session, 'logging/setLevel', { level: wanted }, SET_TIMEOUT_MS).then((isDone) => {
      // To be tried again with the next request that wants it.
      if (!isDone && this.#set === wanted) this.#set = null;
    });
  }

  /** What the server was told stays until another request wants something else: there is no way to take it back. */
  release(level: LogLevel): void {
    const index = LOG_LEVELS.indexOf(level);
    this.#open[index] = Math.max(0, (this.#open[index] ?? 0) - 1);
  }
}
