/** "Did you mean": the known word nearest to an unknown one. */

import { quote, word } from './notation.ts';

/**
 * @returns the nearest of `known`, or null when none is near: spelling in another style (`fileHandles`, `file-handles`)
 * is always near, otherwise at most two edits, and at most a third of the word
 */
export function nearest(word: string, known: Iterable<string>): string | null {
  if (word.length > 64) return null;
  const plain = normalised(word);
  let best: string | null = null;
  let bestDistance = Math.min(2, Math.floor(Math.max(plain.length, 3) / 3)) + 1;
  for (const candidate of known) {
    const distance = edits(plain, normalised(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `did you mean "memory"?`, or else the list of what is known. */
export function suggestion(unknown: string, known: readonly string[], what: string): string {
  const near = nearest(unknown, known);
  if (near !== null) return `did you mean ${quote(near)}?`;
  return known.length === 0 ? `there are no ${what} here` : `${what}: ${known.map(word).join(', ')}`;
}

function normalised(word: string): string {
  return word.toLowerCase().replaceAll(/[-_ ]/g, '');
}

/** Edit distance with swaps of neighbours (optimal string alignment). */
function edits(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const current = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (beforePrevious[j - 2] ?? 0) + 1);
      }
      current.push(cost);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}
