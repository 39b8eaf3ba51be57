import { InvalidArgumentError } from 'commander';

/** A parser for flags that are whole numbers between two inclusive bounds. */
export function wholeNumber(least: number, most = 2 ** 32 - 1): (text: string) => number {
  // The default upper bound is mentioned only if it was exceeded.
  const unbounded = most >= 2 ** 32 - 1;
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isInteger(value) || value < least || value > most) {
      const range = unbounded && !(value > most) ? `of at least ${least}` : `between ${least} and ${most}`;
      throw new InvalidArgumentError(`It must be a whole number ${range}.`);
    }
    return value;
  };
}
