/** All loads that are under way: for each key the one that others join, and those that nobody joins any more. */

import type { Flight } from './cache-flight.ts';
import type { Matcher } from './cache-selector.ts';

export class Flights<V> {
  readonly #joinable = new Map<string, Flight<V>>();
  readonly #apart = new Set<Flight<V>>();

  get size(): number {
    return this.#joinable.size + this.#apart.size;
  }

  /** The one to join. */
  find(key: string): Flight<V> | undefined {
    return this.#joinable.get(key);
  }

  /** What is loaded of this key already is older. */
  begin(flight: Flight<V>): void {
    this.overtake(({ key }) => key === flight.id.key);
    this.#joinable.set(flight.id.key, flight);
  }

  /** None of these is kept, and who comes now begins another. */
  overtake(matches: Matcher): void {
    this.#part(matches);
    for (const flight of this.#apart) if (matches(flight.id)) flight.overtaken = true;
  }

  /** Nobody joins these any more, and of those who have, the ones of this party load for themselves. */
  setApart(matches: Matcher, party: string): void {
    this.#part(matches);
    for (const flight of [...this.#apart]) if (matches(flight.id)) flight.release(party);
  }

  /** It is over, or nobody waits for it any more. */
  land(flight: Flight<V>): void {
    this.#apart.delete(flight);
    if (this.#joinable.get(flight.id.key) === flight) this.#joinable.delete(flight.id.key);
  }

  #part(matches: Matcher): void {
    for (const flight of [...this.#joinable.values()]) {
      if (!matches(flight.id)) continue;
      this.#joinable.delete(flight.id.key);
      this.#apart.add(flight);
    }
  }
}
