import { studentT } from './studentT.js';

/**
 * Intervals of a figure that was measured with several seeds on the same items (images, pairs). Seeds and items are crossed: each
 * seed's network sees each item. A value of seed s and item i is
 *
 *     x_si = mu + a_s + b_i + e_si,
 *
 * with independent random effects of seed, item and residual. The interval is that of mu: of the expected figure of new seeds on new
 * items. It follows from the mean squares of the two-way analysis of variance (Searle, Casella and McCulloch, Variance Components,
 * 1992, chapter 4),
 *
 *     Var(mean) = (MS_seeds + MS_items - MS_residual) / (S I),
 *
 * with Student's t and the degrees of freedom of Satterthwaite (Biometrics Bulletin 2, 1946). A bootstrap over both (Owen, The
 * pigeonhole bootstrap, Annals of Applied Statistics 1, 2007) is too narrow for the three to five seeds that are usual: resampled
 * seeds never lie outside the range of the observed ones, which misses mu in a quarter of all cases for three seeds.
 */

/** What an interval is over: what would be drawn again in a repetition of the experiment. */
export type Over = 'seeds and items' | 'seeds' | 'items';

export interface SeedInterval {
  readonly value: number;
  /** 95 %; undefined where nothing tells it: a single seed without values of its items. */
  readonly interval?: readonly [number, number];
  readonly over?: Over;
}

export interface SeedValues {
  /** The figure of each seed. */
  readonly values: readonly number[];
  /** Values of the items, by seed, whose mean is the figure of the seed. */
  readonly perItem?: readonly (readonly number[])[];
  /** Variance of each seed's figure over items, where the figure is no mean over items, such as mIoU. */
  readonly itemVariances?: readonly number[];
}

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

function squaresAround(values: readonly number[], centre: number): number {
  return values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
}

/** A part of a variance, with its degrees of freedom. */
interface Part {
  readonly variance: number;
  readonly degrees: number;
}

/** Student's interval of a value whose variance is a sum of parts (Satterthwaite). */
function intervalOf(value: number, parts: readonly Part[], total: number): [number, number] {
  if (total <= 0) return [value, value];
  const spread = parts.reduce((sum, { variance, degrees }) => sum + variance ** 2 / degrees, 0);
  const half = studentT(Math.max(1, total ** 2 / spread)) * Math.sqrt(total);
  return [value - half, value + half];
}

function crossed(perItem: readonly (readonly number[])[], value: number): [number, number] {
  const [S, I] = [perItem.length, perItem[0]!.length];
  const seedMeans = perItem.map(meanOf);
  const itemMeans = Array.from({ length: I }, (_, i) => meanOf(perItem.map((items) => items[i]!)));
  const centre = meanOf(seedMeans);
  const residual = perItem.reduce(
    (sum, items, s) => sum + items.reduce((of, x, i) => of + (x - seedMeans[s]! - itemMeans[i]! + centre) ** 2, 0),
    0,
  );
  const part = (squares: number, degrees: number): Part => ({ variance: squares / degrees / (S * I), degrees });
  const seeds = part(I * squaresAround(seedMeans, centre), S - 1);
  const items = part(S * squaresAround(itemMeans, centre), I - 1);
  const rest = part(residual, (S - 1) * (I - 1));
  const total = seeds.variance + items.variance - rest.variance;
  // An estimate below one of its parts is chance: the expected value of the whole is not smaller than either.
  const largest = seeds.variance > items.variance ? seeds : items;
  return total < largest.variance
    ? intervalOf(value, [largest], largest.variance)
    : intervalOf(value, [seeds, items, rest], total);
}

/**
 * Mean over seeds with its 95 % interval.
 * - With values of the items and two seeds or more: over seeds and items, as above.
 * - With variances over items: that of the seeds' mean, plus the mean of these variances. The items are the same for all seeds, so
 *   more seeds do not reduce this part; what they would reduce of it is not known, and is counted in full.
 * - With neither: over seeds alone.
 * - With one seed: over items alone.
 * @throws RangeError for no seeds, or items that differ in number.
 */
export function seedInterval({ values, perItem, itemVariances }: SeedValues): SeedInterval {
  const S = values.length;
  if (S === 0) throw new RangeError('a mean over seeds needs at least one');
  const value = meanOf(values);
  const I = perItem?.[0]?.length ?? 0;
  if (perItem !== undefined && (perItem.length !== S || perItem.some(({ length }) => length !== I))) {
    throw new RangeError('all seeds must have values of the same items');
  }
  if (perItem !== undefined && I > 1) {
    if (S > 1) return { value, interval: crossed(perItem, value), over: 'seeds and items' };
    const variance = squaresAround(perItem[0]!, value) / (I - 1) / I;
    return { value, interval: intervalOf(value, [{ variance, degrees: I - 1 }], variance), over: 'items' };
  }
  const items = itemVariances === undefined ? undefined : { variance: meanOf(itemVariances), degrees: 1e6 };
  if (S === 1)
    return items ? { value, interval: intervalOf(value, [items], items.variance), over: 'items' } : { value };
  const seeds = { variance: squaresAround(values, value) / (S - 1) / S, degrees: S - 1 };
  if (items === undefined) return { value, interval: intervalOf(value, [seeds], seeds.variance), over: 'seeds' };
  const total = seeds.variance + items.variance;
  return { value, interval: intervalOf(value, [seeds, items], total), over: 'seeds and items' };
}

/** Differences of two variants, seed by seed and item by item, as values of their own: the same seeds and items on both sides. */
export function pairedValues(variant: SeedValues, baseline: SeedValues): SeedValues {
  const { perItem } = variant;
  const other = baseline.perItem;
  return {
    values: variant.values.map((value, s) => value - baseline.values[s]!),
    ...(perItem && other && { perItem: perItem.map((items, s) => items.map((x, i) => x - other[s]![i]!)) }),
  };
}
