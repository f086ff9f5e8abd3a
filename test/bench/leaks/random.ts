/** Random numbers that are the same on every machine: mulberry32. */

export interface Random {
  /** 0 ≤ x < 1 */
  next(): number;
  between(low: number, high: number): number;
  /** Evenly on a logarithmic scale. */
  scaled(low: number, high: number): number;
  /** Mean 0, deviation 1. */
  normal(): number;
  /** Mean 1: times between events that do not know of each other. */
  waiting(): number;
  poisson(mean: number): number;
  pick<T>(values: readonly T[]): T;
}

export function seeded(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const waiting = (): number => -Math.log(1 - next());
  const normal = (): number => Math.sqrt(2 * waiting()) * Math.cos(2 * Math.PI * next());
  return {
    next,
    waiting,
    normal,
    between: (low, high) => low + (high - low) * next(),
    scaled: (low, high) => low * (high / low) ** next(),
    poisson(mean) {
      if (mean > 50) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal()));
      let count = 0;
      for (let left = mean - waiting(); left > 0; left -= waiting()) count += 1;
      return count;
    },
    pick: (values) => values[Math.floor(next() * values.length)] as (typeof values)[number],
  };
}

/** FNV-1a, so that a family's seeds come from its name and no list has to be kept. */
export function seedOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ (char.codePointAt(0) as number), 0x01000193) >>> 0;
  return hash;
}
