import { compareFigures, meanFigure } from '../../evaluate/result/figures.js';
import { isMean } from './isMean.js';
import type { ResultFile } from './readResults.js';

/** A figure of one subject less that of another, paired by item. */
export interface Difference {
  readonly figure: string;
  readonly difference: number | null;
  readonly interval: readonly [number | null, number | null];
}

/**
 * Paired differences of the models that two files evaluate, for figures that are means over items. None where the files
 * lack the values of items, or have other items.
 */
export function differencesAcross({ result: a }: ResultFile, { result: b }: ResultFile): Difference[] {
  if (a.items === undefined || b.items === undefined || a.items.length < 2) return [];
  if (JSON.stringify(a.items) !== JSON.stringify(b.items)) return [];
  const measured = [a, b].map(({ subjects: [subject] }, i) => ({
    name: String(i),
    figures: subject!.figures.flatMap((figure) => {
      const values = subject!.perItem?.[figure.name];
      return values !== undefined && isMean(figure.value, values) ? [meanFigure(figure, values)] : [];
    }),
  }));
  return compareFigures(measured, a.items.length, { seed: a.seed }).comparisons.map(
    ({ figure, difference, interval }) => ({ figure, difference, interval }),
  );
}
