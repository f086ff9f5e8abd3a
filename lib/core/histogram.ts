/**
 * A histogram that forgets: exponential buckets, and a sample loses half of its weight with each half-life. The method
 * is that of Kubernetes' vertical pod autoscaler (kubernetes/autoscaler, vertical-pod-autoscaler/pkg/recommender/util,
 * decaying_histogram.go and histogram_options.go): newer samples are added with a higher weight, so that nothing has to
 * be touched as time goes by. Its buckets grow by 5 % there and here. Time is whatever the caller counts, and never falls.
 */

export interface Scheme {
  /** Bucket 0 holds 0 up to this, in the unit of the values; each bucket is wider than the one before. */
  readonly firstWidth: number;
  /** Larger values are counted in the last bucket. */
  readonly most: number;
}

/** Each bucket is wider than the one before by this, which is also the largest relative error of a percentile. */
export const GROWTH = 1.05;
const LOG_GROWTH = Math.log(GROWTH);
/** Weights are brought down before they grow beyond 2 to this: sums stay exact enough. */
const MOST_HALF_LIVES = 20;
/** A bucket with less than this share of one fresh sample of weight 1 is empty: about 7 half-lives later. */
const FORGOTTEN = 1 / 128;
/** The weight of a new sample is worked out again when so much of a half-life has passed: an error below 0.1 %. */
const FACTOR_STEP = 1 / 1024;

/** What `restore` takes: the weights of the buckets from `first` on, in units of a fresh sample at `atMs`. */
export interface HistogramState {
  readonly first: number;
  readonly weights: readonly number[];
}

/** Of all that are empty: ten of a tool, and most stay so for an hour. Longer ones take its place. */
const NOTHING = new Float64Array(0);

/** Adding a sample makes no garbage, but for the few times at which the range of the buckets in use grows. */
export class DecayingHistogram {
  readonly #scheme: Scheme;
  readonly #halfLifeMs: number;
  readonly #last: number;
  /** The bucket that `#weights[0]` is. */
  #first = 0;
  #weights = NOTHING;
  #total = 0;
  /** Of the time at which a sample has weight 1. */
  #referenceMs = 0;
  #factor = 1;
  #factorAtMs = 0;

  constructor(scheme: Scheme, halfLifeMs: number) {
    this.#scheme = scheme;
    this.#halfLifeMs = halfLifeMs;
    this.#last = bucketOf(scheme, scheme.most);
  }

  /** @param value ≥ 0 @param weight > 0: 1 for one sample of many like it */
  add(value: number, weight: number, atMs: number): void {
    const added = weight * this.#factorNow(atMs);
    const bucket = Math.min(this.#last, bucketOf(this.#scheme, value));
    this.#cover(bucket);
    const index = bucket - this.#first;
    this.#weights[index] = (this.#weights[index] as number) + added;
    this.#total += added;
  }

  get isEmpty(): boolean {
    return this.#total <= 0;
  }

  /**
   * @param share 0.95 for the 95th percentile
   * @param more a further sample of weight 1 that is not in here yet; negative: none
   * @returns the upper end of the bucket that it lies in: at most 5 % too high, and never too low; null when empty
   */
  percentile(share: number, atMs: number, more = -1): number | null {
    const extra = more < 0 ? 0 : this.#factorNow(atMs);
    const total = this.#total + extra;
    if (total <= 0) return null;
    const extraBucket = more < 0 ? -1 : Math.min(this.#last, bucketOf(this.#scheme, more));
    const wanted = share * total;
    const length = this.#weights.length;
    const from = extraBucket >= 0 && (length === 0 || extraBucket < this.#first) ? extraBucket : this.#first;
    const to = Math.max(extraBucket, this.#first + length - 1);
    let sum = 0;
    let found = from;
    for (let bucket = from; bucket <= to; bucket++) {
      const index = bucket - this.#first;
      const own = index >= 0 && index < length ? (this.#weights[index] as number) : 0;
      const weight = own + (bucket === extraBucket ? extra : 0);
      if (weight <= 0) continue;
      sum += weight;
      found = bucket;
      // What floating point takes away from the sum must not lead into a bucket that nothing is in.
      if (sum >= wanted - total * 1e-12) break;
    }
    return this.endOf(found);
  }

  /** The upper end of the highest bucket that is not forgotten at this time; null when there is none. */
  highest(atMs: number): number | null {
    const least = FORGOTTEN * this.#factorNow(atMs);
    for (let index = this.#weights.length - 1; index >= 0; index--)
      if ((this.#weights[index] as number) >= least) return this.endOf(this.#first + index);
    return null;
  }

  /** Of the bucket; the last one has no end: its start. */
  endOf(bucket: number): number {
    return startOf(this.#scheme, Math.min(bucket + 1, this.#last));
  }

  /** What is not forgotten, for `restore`. */
  state(atMs: number): HistogramState {
    const factor = this.#factorNow(atMs);
    const weights = Array.from(this.#weights, (weight) => {
      const relative = weight / factor;
      return relative < FORGOTTEN ? 0 : Number(relative.toPrecision(6));
    });
    const from = weights.findIndex((weight) => weight > 0);
    if (from < 0) return { first: 0, weights: [] };
    const to = weights.findLastIndex((weight) => weight > 0);
    return { first: this.#first + from, weights: weights.slice(from, to + 1) };
  }

  /** In place of what is in here. @returns false, and changes nothing, for what no `state` gives */
  restore({ first, weights }: HistogramState, atMs: number): boolean {
    const fits = Number.isInteger(first) && first >= 0 && first + weights.length - 1 <= this.#last;
    if (!fits || !weights.every((weight) => Number.isFinite(weight) && weight >= 0 && weight < 1e12)) return false;
    this.#first = first;
    this.#weights = Float64Array.from(weights);
    this.#referenceMs = atMs;
    this.#factorAtMs = atMs;
    this.#factor = 1;
    this.#total = weights.reduce((sum, weight) => sum + weight, 0);
    return true;
  }

  /** The weight that a fresh sample has. */
  #factorNow(atMs: number): number {
    const stepMs = this.#halfLifeMs * FACTOR_STEP;
    if (atMs - this.#factorAtMs < stepMs) return this.#factor;
    if (atMs - this.#referenceMs > this.#halfLifeMs * MOST_HALF_LIVES) this.#scaleDown(atMs);
    this.#factorAtMs = atMs;
    this.#factor = 2 ** ((atMs - this.#referenceMs) / this.#halfLifeMs);
    return this.#factor;
  }

  #scaleDown(atMs: number): void {
    const scale = 2 ** ((this.#referenceMs - atMs) / this.#halfLifeMs);
    this.#total = 0;
    for (let index = 0; index < this.#weights.length; index++) {
      const weight = (this.#weights[index] as number) * scale;
      this.#weights[index] = weight < FORGOTTEN ? 0 : weight;
      this.#total += this.#weights[index] as number;
    }
    this.#referenceMs = atMs;
  }

  #cover(bucket: number): void {
    const length = this.#weights.length;
    if (bucket >= this.#first && bucket < this.#first + length) return;
    const from = length === 0 ? bucket : Math.min(this.#first, bucket);
    const to = length === 0 ? bucket : Math.max(this.#first + length - 1, bucket);
    const wider = new Float64Array(to - from + 1);
    wider.set(this.#weights, length === 0 ? 0 : this.#first - from);
    this.#weights = wider;
    this.#first = from;
  }
}

function bucketOf({ firstWidth }: Scheme, value: number): number {
  if (value < firstWidth) return 0;
  return Math.floor(Math.log((value * (GROWTH - 1)) / firstWidth + 1) / LOG_GROWTH);
}

function startOf({ firstWidth }: Scheme, bucket: number): number {
  return (firstWidth * (GROWTH ** bucket - 1)) / (GROWTH - 1);
}
