import { InvalidArgumentError } from 'commander';

/** A parser for flags that are whole numbers between two inclusive bounds. */
export function wholeNumber(min: number, max = 2 ** 32 - 1): (text: string) => number {
  // The default upper bound is mentioned only if it was exceeded.
  const unbounded = max >= 2 ** 32 - 1;
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isInteger(value) || value < min || value > max) {
      const range = unbounded && !(value > max) ? `of at least ${min}` : `between ${min} and ${max}`;
      throw new InvalidArgumentError(`It must be a whole number ${range}.`);
    }
    return value;
  };
}
