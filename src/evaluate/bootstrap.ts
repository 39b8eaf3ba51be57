import { stream } from '../tensor/random.js';

export interface BootstrapOptions {
  /** Samples drawn with replacement. Default 2,000. */
  readonly resamples?: number;
  readonly seed?: number;
  /** Probability mass inside the interval. Default 0.95. */
  readonly confidence?: number;
}

/**
 * Percentile bootstrap interval of a mean (Efron): values are drawn again with replacement, and the interval lies
 * between the quantiles of the resampled means. The values must be independent: one for each photograph, not one for
 * each of its matches.
 * @returns [lower, upper]
 * @throws RangeError for fewer than two values, or for options out of range.
 */
export function bootstrapInterval(values: ArrayLike<number>, options: BootstrapOptions = {}): [number, number] {
  const { resamples = 2000, seed = 0, confidence = 0.95 } = options;
  // Of one value all samples are the same: an interval of no width, which says the opposite of what is known.
  if (values.length < 2) {
    throw new RangeError(`a bootstrap interval needs at least two values, not ${values.length}`);
  }
  if (!Number.isSafeInteger(resamples) || resamples < 1) {
    throw new RangeError(`resamples is ${resamples}; it must be a whole number of at least 1`);
  }
  if (!(confidence > 0 && confidence < 1)) {
    throw new RangeError(`confidence is ${confidence}; it must lie between 0 and 1, such as 0.95`);
  }
  const random = stream(seed, 'bootstrap');
  const means = Float64Array.from({ length: resamples }, () => {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[random.integer(values.length)]!;
    return sum / values.length;
  }).sort();
  const tail = (1 - confidence) / 2;
  return [quantile(means, tail), quantile(means, 1 - tail)];
}

/** Quantile of sorted values, linear between neighbours. */
function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (at - below) * (sorted[above]! - sorted[below]!);
}
