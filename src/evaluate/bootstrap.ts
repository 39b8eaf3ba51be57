import { stream } from '../tensor/random.js';

export interface BootstrapOptions {
  /** Samples drawn with replacement. Default 2,000. */
  readonly resamples?: number;
  readonly seed?: number;
  /** Probability mass inside the interval. Default 0.95. */
  readonly confidence?: number;
}

/**
 * Computes a statistic of resampled items. The items must be independent: one per photograph, not one per match of a
 * photograph. Equal count, seed and number of resamples give the same draws, so the values of two statistics are paired.
 * @param count number of items.
 * @param statistic of the items with these indices, which may repeat; the array is reused.
 * @throws RangeError for fewer than two items, or options out of range.
 */
export function resampled(
  count: number,
  statistic: (indices: Uint32Array) => number,
  { resamples = 2000, seed = 0 }: Omit<BootstrapOptions, 'confidence'> = {},
): Float64Array {
  // All samples of one item are equal. Their interval would have no width, as if the value were exact.
  if (count < 2) throw new RangeError(`a bootstrap interval needs at least two values, not ${count}`);
  if (!Number.isSafeInteger(resamples) || resamples < 1) {
    throw new RangeError(`resamples is ${resamples}; it must be a whole number of at least 1`);
  }
  const random = stream(seed, 'bootstrap');
  const indices = new Uint32Array(count);
  return Float64Array.from({ length: resamples }, () => {
    for (let i = 0; i < count; i++) indices[i] = random.integer(count);
    return statistic(indices);
  });
}

/**
 * The interval between the quantiles of resampled values (percentile bootstrap, Efron). Values that are not finite are
 * left out: samples for which the statistic does not exist.
 * @returns [lower, upper], both NaN where no value is finite.
 * @throws RangeError for a confidence outside 0..1.
 */
export function percentileInterval(values: Float64Array, confidence = 0.95): [number, number] {
  if (!(confidence > 0 && confidence < 1)) {
    throw new RangeError(`confidence is ${confidence}; it must lie between 0 and 1, such as 0.95`);
  }
  const sorted = values.filter(Number.isFinite).sort();
  if (sorted.length === 0) return [Number.NaN, Number.NaN];
  const tail = (1 - confidence) / 2;
  return [quantile(sorted, tail), quantile(sorted, 1 - tail)];
}

/** The mean of some values, as a statistic for `resampled`. */
export function meanOf(values: ArrayLike<number>): (indices: Uint32Array) => number {
  return (indices) => {
    let sum = 0;
    for (let i = 0; i < indices.length; i++) sum += values[indices[i]!]!;
    return sum / indices.length;
  };
}

/**
 * Percentile bootstrap interval of a mean.
 * @returns [lower, upper]
 * @throws RangeError for fewer than two values, or options out of range.
 */
export function bootstrapInterval(values: ArrayLike<number>, options: BootstrapOptions = {}): [number, number] {
  return percentileInterval(resampled(values.length, meanOf(values), options), options.confidence);
}

/** Quantile of sorted values, linear between neighbours. */
function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (at - below) * (sorted[above]! - sorted[below]!);
}
