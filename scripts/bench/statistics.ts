/** What the benchmarks make of their timings. */

/** @returns the value below which a share of the list lies (nearest rank); NaN for an empty list. */
export function quantile(list: readonly number[], share: number): number {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
}

/** Middle of a list; the lower of the two where its length is even. */
export function median(list: readonly number[]): number {
  return quantile(list, 0.5);
}
