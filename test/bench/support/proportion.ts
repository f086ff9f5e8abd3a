/** How sure a share is: the exact bound of Clopper and Pearson (1934), one-sided. */

/** @returns the lowest true share that `hits` of `trials` or more would still be seen of with 5 % probability */
export function lowerBound(hits: number, trials: number, confidence = 0.95): number {
  if (hits === 0 || trials === 0) return 0;
  let [low, high] = [0, 1];
  for (let step = 0; step < 60; step += 1) {
    const share = (low + high) / 2;
    if (atLeast(hits, trials, share) < 1 - confidence) low = share;
    else high = share;
  }
  return low;
}

/** @returns the highest true share that is still likely with so few */
export function upperBound(hits: number, trials: number, confidence = 0.95): number {
  return 1 - lowerBound(trials - hits, trials, confidence);
}

/** Probability of so many or more. */
function atLeast(hits: number, trials: number, share: number): number {
  if (share <= 0) return hits === 0 ? 1 : 0;
  if (share >= 1) return 1;
  let sum = 0;
  let logCoefficient = 0;
  for (let count = 0; count <= trials; count += 1) {
    if (count > 0) logCoefficient += Math.log((trials - count + 1) / count);
    if (count >= hits)
      sum += Math.exp(logCoefficient + count * Math.log(share) + (trials - count) * Math.log(1 - share));
  }
  return Math.min(1, sum);
}
