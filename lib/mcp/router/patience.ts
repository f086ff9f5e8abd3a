/** Which servers were slow of late, for all clients: nobody waits for them as long again before they have answered once. */

export interface PatienceOptions {
  /** How long such a server is remembered as slow. */
  readonly slowForMs: number;
  /** What is waited for it then. */
  readonly shortMs: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

export class Patience {
  readonly #options: PatienceOptions;
  readonly #slowUntilMs = new Map<string, number>();

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  waitMs(server: string, fullMs: number): number {
    const untilMs = this.#slowUntilMs.get(server);
    if (untilMs === undefined) return fullMs;
    if (untilMs > this.#options.now()) return Math.min(fullMs, this.#options.shortMs);
    this.#slowUntilMs.delete(server);
    return fullMs;
  }

  wasSlow(server: string): void {
    this.#slowUntilMs.set(server, this.#options.now() + this.#options.slowForMs);
  }

  answered(server: string): void {
    this.#slowUntilMs.delete(server);
  }

  /** Servers that are gone need not be remembered. */
  keep(servers: readonly string[]): void {
    for (const server of this.#slowUntilMs.keys()) if (!servers.includes(server)) this.#slowUntilMs.delete(server);
  }
}
