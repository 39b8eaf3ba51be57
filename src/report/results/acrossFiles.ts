import { compareFigures, meanFigure } from '../../evaluate/result/figures.js';
import { isMean } from './isMean.js';
import { itemPlaces } from './itemPlaces.js';
import { type OptionDifference, optionDifferences } from './optionDifferences.js';
import type { ResultFile } from './readResults.js';

/** A figure of one subject less that of another, paired by item. */
export interface Difference {
  readonly figure: string;
  readonly difference: number | null;
  readonly interval: readonly [number | null, number | null];
}

/** Where the items of one file are in another; undefined unless both have values of the same items. */
const pairing = ({ result: { items } }: ResultFile, { result: other }: ResultFile): readonly number[] | undefined =>
  items !== undefined && items.length >= 2 && other.items !== undefined ? itemPlaces(items, other.items) : undefined;

/** The options that keep the models of two files of the same items from being compared. */
export const obstaclesAcross = (a: ResultFile, b: ResultFile): OptionDifference[] =>
  pairing(a, b) === undefined ? [] : optionDifferences(a.result, b.result);

/**
 * Paired differences of the models that two files evaluate, for figures that are means over items. None where the files
 * lack the values of items, have other items, or were measured with other options.
 */
export function differencesAcross(of: ResultFile, less: ResultFile): Difference[] {
  const [a, b] = [of.result, less.result];
  const places = pairing(of, less);
  if (places === undefined || optionDifferences(a, b).length > 0) return [];
  const measured = [a, b].map(({ subjects: [subject] }, i) => ({
    name: String(i),
    figures: subject!.figures.flatMap((figure) => {
      const values = subject!.perItem?.[figure.name];
      if (values === undefined || !isMean(figure.value, values)) return [];
      return [meanFigure(figure, i === 0 ? values : places.map((place) => values[place]!))];
    }),
  }));
  return compareFigures(measured, a.items!.length, { seed: a.seed }).comparisons.map(
    ({ figure, difference, interval }) => ({ figure, difference, interval }),
  );
}
