import { InvalidArgumentError } from 'commander';

/** A parser of flags that are whole numbers between two bounds, both included. */
export function wholeNumber(least: number, most = 2 ** 32 - 1): (text: string) => number {
  // A bound that only the type sets is no news, unless it is what was passed.
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
