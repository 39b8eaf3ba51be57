import { meanOf, percentileInterval, resampled } from '../bootstrap.js';
import type { EvaluationResult, ResultFigure } from './schema.js';

/** A figure of one subject, before intervals and comparisons are computed. */
export interface MeasuredFigure extends Pick<ResultFigure, 'name' | 'label' | 'unit' | 'better'> {
  /** The figure over the items with these indices, which may repeat. NaN where it does not exist. */
  readonly over: (indices: Uint32Array) => number;
  /** Value of each item, where the figure is a mean (or another statistic) of one value per item. */
  readonly perItem?: ArrayLike<number>;
}

/** A figure that is the mean of one value per item. */
export function meanFigure(
  about: Pick<MeasuredFigure, 'name' | 'label' | 'unit' | 'better'>,
  perItem: ArrayLike<number>,
): MeasuredFigure {
  return { ...about, over: meanOf(perItem), perItem };
}

/** The figures of one subject over the same items as those of the others. */
export interface MeasuredSubject {
  readonly name: string;
  readonly figures: readonly MeasuredFigure[];
}

export interface ComparedFigures {
  /** The figures with their values and intervals, by subject in the given order. */
  readonly figures: readonly ResultFigure[][];
  readonly comparisons: EvaluationResult['comparisons'];
}

const orNull = (value: number): number | null => (Number.isFinite(value) ? value : null);
const intervalOf = (values: Float64Array): [number | null, number | null] => {
  const [lower, upper] = percentileInterval(values);
  return [orNull(lower), orNull(upper)];
};

/**
 * Values, bootstrap intervals, and paired differences of the first subject and each of the others.
 * A single item has no intervals: they are null.
 * @param items number of items, the same for all subjects: they are resampled together.
 * @throws RangeError for no items.
 */
export function compareFigures(
  subjects: readonly MeasuredSubject[],
  items: number,
  options: { readonly seed: number; readonly resamples?: number },
): ComparedFigures {
  const all = Uint32Array.from({ length: items }, (_, i) => i);
  const computed = subjects.map(({ figures }) =>
    figures.map((figure) => ({
      figure,
      value: figure.over(all),
      samples: items === 1 ? new Float64Array() : resampled(items, figure.over, options),
    })),
  );
  const [first, ...baselines] = computed;
  const comparisons = baselines.flatMap((baseline, b) =>
    first!.flatMap(({ figure, value, samples }) => {
      const other = baseline.find((each) => each.figure.name === figure.name);
      if (other === undefined) return [];
      return {
        figure: figure.name,
        subject: subjects[0]!.name,
        baseline: subjects[b + 1]!.name,
        difference: orNull(value - other.value),
        interval: intervalOf(samples.map((sample, i) => sample - other.samples[i]!)),
      };
    }),
  );
  return {
    figures: computed.map((figures) =>
      figures.map(({ figure: { name, label, unit, better }, value, samples }) => ({
        name,
        label,
        unit,
        better,
        value: orNull(value),
        interval: intervalOf(samples),
      })),
    ),
    comparisons,
  };
}
