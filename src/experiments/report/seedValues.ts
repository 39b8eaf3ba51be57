import type { ResultFigure, ResultSubject } from '../../evaluate/result/schema.js';
import { isMean } from '../../report/results/isMean.js';
import type { SeedValues } from '../statistics/seedInterval.js';

/** Variance over items of a figure that has an interval: that of a normal distribution with this 95 % interval. */
function itemVariance({ interval }: ResultFigure): number | undefined {
  const [lower, upper] = interval ?? [null, null];
  return lower === null || upper === null ? undefined : ((upper - lower) / (2 * 1.959964)) ** 2;
}

/**
 * A figure of one subject with several seeds: with the values of its items where it is their mean (it may be another statistic of them, such
 * as their median), else with its variance over items.
 */
export function seedValues(subjects: readonly ResultSubject[], figure: string): SeedValues | undefined {
  const figures = subjects.map((subject) => subject.figures.find(({ name }) => name === figure));
  const values = figures.map((each) => each?.value ?? Number.NaN);
  if (!values.every(Number.isFinite)) return undefined;
  const items = subjects.flatMap(({ perItem }, i) => {
    const own = perItem?.[figure];
    return own !== undefined && isMean(values[i]!, own) ? [own] : [];
  });
  if (items.length === subjects.length) return { values, perItem: items };
  const itemVariances = figures.map((each) => itemVariance(each!));
  const known = itemVariances.every((variance) => variance !== undefined);
  return { values, ...(known && { itemVariances: itemVariances as number[] }) };
}
