/** Computes a quantile by the nearest rank; NaN for an empty list. @param share 0..1 */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
}

/** Computes the median; the lower of the two middle values for a list of even length. */
export function median(values: ArrayLike<number>): number {
  return quantile(values, 0.5);
}
