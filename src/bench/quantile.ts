/** @returns the value below which a share of the numbers lies (nearest rank); NaN where there are none. */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
}

/** Middle of a list; the lower of the two where its length is even. */
export function median(values: ArrayLike<number>): number {
  return quantile(values, 0.5);
}
