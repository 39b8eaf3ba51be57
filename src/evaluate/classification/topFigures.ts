import { type MeasuredFigure, meanFigure } from '../result/figures.js';

/**
 * Top-1 and top-5 accuracy.
 * @param ranks of the true class of each test image, from 0, of each classifier: figures are means over classifiers.
 * @param classes number of classes; with five or fewer, top-5 accuracy says nothing and is left out.
 */
export function topFigures(ranks: readonly Uint32Array[], classes: number): MeasuredFigure[] {
  const top = (n: number) =>
    meanFigure(
      { name: `top${n}`, label: `top-${n} accuracy`, unit: 'share', better: 'higher' },
      Float64Array.from(ranks[0]!, (_, i) => ranks.filter((own) => own[i]! < n).length / ranks.length),
    );
  return classes > 5 ? [top(1), top(5)] : [top(1)];
}
