import { InvalidArgumentError } from 'commander';

/** Parses a finite number of a flag that lies above a bound, or at it with `inclusive`, and at most at another. */
export function realNumber(
  above: number,
  {
    inclusive = false,
    atMost = Number.POSITIVE_INFINITY,
  }: { readonly inclusive?: boolean; readonly atMost?: number } = {},
): (text: string) => number {
  return (text) => {
    const value = Number(text);
    const low = inclusive ? value >= above : value > above;
    if (text.trim() !== '' && Number.isFinite(value) && low && value <= atMost) return value;
    const lower = inclusive ? `of at least ${above}` : `above ${above}`;
    throw new InvalidArgumentError(
      `It must be a number ${lower}${Number.isFinite(atMost) ? `, and at most ${atMost}` : ''}.`,
    );
  };
}
