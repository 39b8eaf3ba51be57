import { cellCentres, type Grid, gridOf } from '../../image/geometry.js';
import { type Homography, type Point, project } from '../../image/homography.js';
import { prepareImage } from '../../image/resize.js';
import type { RgbImage, Size } from '../../image/types.js';
import type { MatchDistance } from '../../match/distance.js';
import { type CellFeatures, matchFeaturesBy } from '../../match/features.js';
import { inlierThreshold } from '../../match/homography/inlierThreshold.js';
import { ransacHomography } from '../../match/homography/ransac.js';
import type { NearestSearch } from '../../match/nearest.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import { cornerError } from './planarMap.js';
import type { PlanarPair } from './planarPairs.js';

/** How whole photographs become network input; each side is a multiple of the stride. */
export type PhotographSize =
  /** Their own size. */
  | { readonly kind: 'native' }
  /** The shortest side in pixels, aspect kept. */
  | { readonly kind: 'shortest'; readonly side: number }
  /** Stretched to this size, which must be multiples of the stride. */
  | { readonly kind: 'fit'; readonly width: number; readonly height: number };

/** Matched cells of two photographs, as their centres in the pixels of each. */
export interface MatchedPair {
  readonly gridA: Grid;
  readonly gridB: Grid;
  /** In ascending order of the source cell, as the service has them. */
  readonly matches: readonly { readonly a: Point; readonly b: Point; readonly distance: number }[];
}

/** What one run of the estimator found. */
export interface Estimate {
  /** Absent if there are too few matches, or none in general position. */
  readonly matrix?: Homography;
  /** Indices of the matches that agree with it. */
  readonly inliers: Int32Array;
  /** In pixels of b; infinity where no homography was found. */
  readonly cornerError: number;
}

/** The features of a photograph at the size of the network's input. */
export type ExtractMap = (batch: Tensor<'uint8'>) => Promise<Tensor<'float32'>>;

/** @throws ImageError for a size that is not a multiple of the stride, or over the limit of inputs. */
async function featuresOf(photograph: RgbImage, size: PhotographSize, stride: number, extract: ExtractMap) {
  const multiple = (side: number) => Math.max(1, Math.round(side / stride)) * stride;
  const scaled = ({ width, height }: Size, side: number) => {
    const scale = side / Math.min(width, height);
    return { kind: 'fit', width: multiple(width * scale), height: multiple(height * scale) } as const;
  };
  const policy = size.kind === 'shortest' ? scaled(photograph, size.side) : size;
  const prepared = await prepareImage(photograph, policy, stride);
  const { width, height, data } = prepared.image;
  const { shape, data: vectors } = await extract(tensor('uint8', [1, height, width, 3], data));
  const grid = gridOf(prepared, stride);
  const map: CellFeatures = { rows: grid.rows, columns: grid.columns, channels: shape[3]!, data: vectors };
  return { grid, map };
}

/**
 * The mutual nearest cells of two photographs, all of them: what the service's `Match` answers with `mutual` and `top_gamma` 0.
 */
export async function matchPair(
  { a, b }: Pick<PlanarPair, 'a' | 'b'>,
  {
    size,
    stride,
    distance,
  }: { readonly size: PhotographSize; readonly stride: number; readonly distance: MatchDistance },
  extract: ExtractMap,
  search: NearestSearch,
): Promise<MatchedPair> {
  const from = await featuresOf(a, size, stride, extract);
  const to = await featuresOf(b, size, stride, extract);
  const { signal } = new AbortController();
  const matches = await matchFeaturesBy(search, from.map, to.map, { mutual: true, distance, order: 'source' }, signal);
  const [centresA, centresB] = [cellCentres(from.grid), cellCentres(to.grid)];
  const point = (centres: Float64Array, cell: number) => ({ x: centres[cell * 2]!, y: centres[cell * 2 + 1]! });
  return {
    gridA: from.grid,
    gridB: to.grid,
    matches: matches.map(({ source, target, distance }) => ({
      a: point(centresA, source),
      b: point(centresB, target),
      distance,
    })),
  };
}

/** The service's homography of the matches, with its default threshold and iterations. */
export function estimate({ matches, gridB }: MatchedPair, pair: PlanarPair, seed: number): Estimate {
  const points = Float64Array.from(matches.flatMap(({ a, b }) => [a.x, a.y, b.x, b.y]));
  const fit = ransacHomography(points, { threshold: inlierThreshold(gridB), seed });
  if (!fit.found) return { inliers: new Int32Array(), cornerError: Number.POSITIVE_INFINITY };
  return { matrix: fit.matrix, inliers: fit.inliers, cornerError: cornerError(fit.matrix, pair.aToB, pair.a) };
}

/** Share of the matches that agree with the true homography within the threshold of the estimator; 0 without matches. */
export function correctShare({ matches, gridB }: MatchedPair, truth: Homography): number {
  const threshold = inlierThreshold(gridB);
  let correct = 0;
  for (const { a, b } of matches) {
    const should = project(truth, a);
    if (Math.hypot(b.x - should.x, b.y - should.y) <= threshold) correct++;
  }
  return matches.length === 0 ? 0 : correct / matches.length;
}
