/** The divisors of a number from `least` on, ascending. */
export const divisorsOf = (n: number, least = 1): number[] =>
  Array.from({ length: n }, (_, i) => i + 1).filter((divisor) => divisor >= least && n % divisor === 0);

/** The numbers of an ascending list next to one that is not in it: the one below and the one above, where there are any. */
export const neighboursIn = (numbers: readonly number[], n: number): number[] =>
  [numbers.filter((each) => each < n).at(-1), numbers.find((each) => each > n)].filter((each) => each !== undefined);
