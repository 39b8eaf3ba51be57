import type { Histogram } from './histogram.js';

/** How the range that 8 bits cover is chosen from what calibration saw. */
export type RangeMethod = 'minmax' | 'percentile';

export type Range = readonly [min: number, max: number];

/**
 * Share of the elements that `percentile` leaves outside at each end. On the bundled model and on random networks it gains
 * nothing over the full range (docs/models.md); networks with a few very large activations need it.
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

/** The range of an activation, always with 0 in it, which 8 bits must hold exactly (padding and ReLU write zeros). */
export function chooseRange(histogram: Histogram, method: RangeMethod): Range {
  const [min, max] = method === 'minmax' ? histogram.range : percentile(histogram);
  return [Math.min(min, 0), Math.max(max, 0)];
}
