/**
 * Area under the curve of recall against the error, up to a threshold, over the threshold: 0..1. The curve connects (0, 0) and the
 * points (k-th smallest error, k / n) by straight lines, and is level from the last error below the threshold, as in the
 * evaluation of SuperGlue (Sarlin and others 2020, arXiv 1911.11763) and LoFTR.
 * @param errors of all pairs; infinity where nothing was found
 */
export function errorAuc(errors: readonly number[], threshold: number): number {
  const sorted = errors.filter((error) => error < threshold).sort((a, b) => a - b);
  let [area, error, recall] = [0, 0, 0];
  for (const [k, next] of sorted.entries()) {
    const reached = (k + 1) / errors.length;
    area += ((next - error) * (recall + reached)) / 2;
    [error, recall] = [next, reached];
  }
  return (area + (threshold - error) * recall) / threshold;
}
