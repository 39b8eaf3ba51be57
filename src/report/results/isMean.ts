/** Rounding of a mean, relative to the values. */
const TOLERANCE = 1e-9;

/** Whether a figure is the mean of its items: it may be another statistic of them, such as their median. */
export function isMean(value: number | null, values: readonly (number | null)[]): values is readonly number[] {
  if (value === null || values.includes(null)) return false;
  const [sum, size] = [
    values.reduce<number>((a, b) => a + b!, 0),
    values.reduce<number>((a, b) => a + Math.abs(b!), 0),
  ];
  return Math.abs(sum / values.length - value) <= (TOLERANCE * size) / values.length;
}
