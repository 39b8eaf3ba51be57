import type { HomographyMatrix, PointPairs } from './fitHomography.js';

/** How well point pairs agree with a homography. */
export interface Consensus {
  /** Sum over pairs of min(squared distance, squared threshold) in the other image: smaller is better (MSAC). */
  readonly cost: number;
  /** Indices of the pairs within the threshold. */
  readonly inliers: Int32Array;
  /** Root mean square of the distances of the inliers, in pixels. */
  readonly rms: number;
}

/**
 * Squared distance in pixels between the mapped first point of pair i and its second point; infinite for a first point on the
 * other side of the horizon.
 * @param sign of w for the points in front of the camera
 */
function squaredTransferError(h: HomographyMatrix, pairs: PointPairs, i: number, sign: number): number {
  const [x, y] = [pairs[i * 4]!, pairs[i * 4 + 1]!];
  const w = h[6]! * x + h[7]! * y + h[8]!;
  if (!(w * sign > 0)) return Number.POSITIVE_INFINITY;
  const dx = (h[0]! * x + h[1]! * y + h[2]!) / w - pairs[i * 4 + 2]!;
  const dy = (h[3]! * x + h[4]! * y + h[5]!) / w - pairs[i * 4 + 3]!;
  return dx * dx + dy * dy;
}

/** Sign of w at the first point of a pair: that of the points in front of the camera. */
function sideOf(h: HomographyMatrix, pairs: PointPairs, i: number): number {
  return Math.sign(h[6]! * pairs[i * 4]! + h[7]! * pairs[i * 4 + 1]! + h[8]!);
}

/**
 * Measures how well all pairs agree with a homography.
 * @param threshold largest distance of an inlier, in pixels of the second image
 * @param reference index of a pair that the homography certainly maps, whose first point is in front of the camera
 * @param best a cost: the result is undefined, and the computation stops early, where the cost is not smaller
 */
export function measure(
  h: HomographyMatrix,
  pairs: PointPairs,
  threshold: number,
  reference: number,
  best = Number.POSITIVE_INFINITY,
): Consensus | undefined {
  const limit = threshold * threshold;
  const sign = sideOf(h, pairs, reference);
  const count = pairs.length / 4;
  const inliers: number[] = [];
  let cost = 0;
  let squares = 0;
  for (let i = 0; i < count; i++) {
    const squared = squaredTransferError(h, pairs, i, sign);
    if (squared <= limit) {
      inliers.push(i);
      squares += squared;
      cost += squared;
    } else {
      cost += limit;
    }
    if (cost >= best) return undefined;
  }
  return {
    cost,
    inliers: Int32Array.from(inliers),
    rms: inliers.length === 0 ? 0 : Math.sqrt(squares / inliers.length),
  };
}
