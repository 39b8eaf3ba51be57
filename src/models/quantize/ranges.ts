import type { Histogram } from './histogram.js';

/** How the range of an 8-bit activation is chosen from its histogram. */
export type RangeMethod = 'minmax' | 'percentile';

export type Range = readonly [min: number, max: number];

/**
 * Share of the elements outside the `percentile` range at each end. It gains nothing over the full range on the bundled
 * model and on random networks (docs/models.md); networks with a few very large activations need it.
 */
const TAIL = 1e-5;

function percentile(histogram: Histogram): Range {
  const bins = histogram.bins();
  const total = bins.reduce((sum, { count }) => sum + count, 0);
  const edge = (from: typeof bins) => {
    let seen = 0;
    return from.find(({ count }) => {
      seen += count;
      return seen > TAIL * total;
    })!.centre;
  };
  return [edge(bins), edge([...bins].reverse())];
}

/** The range of an activation. It always contains 0, which must be exact because padding and ReLU write zeros. */
export function chooseRange(histogram: Histogram, method: RangeMethod): Range {
  const [min, max] = method === 'minmax' ? histogram.range : percentile(histogram);
  return [Math.min(min, 0), Math.max(max, 0)];
}
