import {
  type CellFeatures,
  type FeatureMatchOptions,
  matchFeaturesBy,
  matchFeaturesInSlices,
} from '../match/features.js';
import { inlierThreshold } from '../match/homography/inlierThreshold.js';
import { type HomographyAbsence, type RansacOptions, ransacHomographyInSlices } from '../match/homography/ransac.js';
import type { NearestSearch } from '../match/nearest.js';
import { type ImageFeatures, keypointsOf } from './features.js';

/** How pairs are matched. */
export interface PairOptions extends Omit<FeatureMatchOptions, 'order'> {
  /** Also fits a homography to the kept matches. The default threshold is the distance of adjacent cells of b. */
  readonly homography?: Partial<Pick<RansacOptions, 'threshold' | 'seed'>>;
}

/** A homography between two upright images, or why there is none. */
export type PairHomography =
  /** Row-major 3 x 3, from pixels of a to pixels of b; indices of the matches that agree with it. */
  | { readonly matrix: readonly number[]; readonly inliers: readonly number[]; readonly rms: number }
  | { readonly absence: HomographyAbsence };

/** The matches of two images, in ascending order of the cell of a. */
export interface PairMatches {
  /** Cells of a, row-major. */
  readonly source: readonly number[];
  /** The cell of b of each. */
  readonly target: readonly number[];
  /** Distances of the vectors, by the option `distance`. */
  readonly distance: readonly number[];
  /** Cosine similarities, -1 to 1. */
  readonly similarity: readonly number[];
  readonly homography?: PairHomography;
}

/** Products of cells and channels up to which the exact loops are faster than the tiled search, as in the service. */
const SMALL_PRODUCTS = 1_000_000;

/** An image that is ready to be matched. */
export interface MatchableImage {
  readonly features: ImageFeatures;
  readonly cells: CellFeatures;
}

/**
 * Matches the cells of two images.
 * @throws MatchError for options that do not fit the images or features that are not finite; the signal's reason.
 */
export async function matchImages(
  a: MatchableImage,
  b: MatchableImage,
  { homography, topGamma = 0, ...options }: PairOptions,
  search: NearestSearch,
  signal: AbortSignal,
): Promise<PairMatches> {
  const cells = [a, b].map(({ features }) => features.rows * features.columns) as [number, number];
  const small = cells[0] * cells[1] * a.cells.channels <= SMALL_PRODUCTS;
  const kept = topGamma === 0 ? {} : { topGamma: Math.min(topGamma, cells[0]) };
  const how: FeatureMatchOptions = { ...options, ...kept, order: 'source' };
  const matches = await (small
    ? matchFeaturesInSlices(a.cells, b.cells, how, signal)
    : matchFeaturesBy(search, a.cells, b.cells, how, signal));
  const found = {
    source: matches.map(({ source }) => source),
    target: matches.map(({ target }) => target),
    distance: matches.map(({ distance }) => distance),
    similarity: matches.map(({ similarity }) => similarity),
  };
  if (homography === undefined) return found;
  const [pointsA, pointsB] = [keypointsOf(a.features), keypointsOf(b.features)];
  const points = new Float64Array(matches.length * 4);
  for (const [i, { source, target }] of matches.entries()) {
    points.set([pointsA[source * 2]!, pointsA[source * 2 + 1]!, pointsB[target * 2]!, pointsB[target * 2 + 1]!], i * 4);
  }
  const { threshold = inlierThreshold(b.features), seed } = homography;
  const fit = await ransacHomographyInSlices(points, { threshold, ...(seed !== undefined && { seed }) }, signal);
  return {
    ...found,
    homography: fit.found
      ? { matrix: [...fit.matrix], inliers: [...fit.inliers], rms: fit.rms }
      : { absence: fit.reason },
  };
}
