import type { HomographyMatrix, PointPairs } from './fitHomography.js';

/** How well pairs agree with a homography. */
export interface Consensus {
  /** Sum over pairs of min(squared distance, squared threshold) in the other image: smaller is better (MSAC). */
  readonly cost: number;
  /** Indices of the pairs within the threshold. */
  readonly inliers: Int32Array;
  /** Root mean square of the inliers' distances, in pixels. */
  readonly rms: number;
}

/**
 * Squared distance in pixels between where the first point of pair i goes and its second point; infinite for a point on the
 * far side of the horizon from the others, where w is not positive.
 * @param sign of w for the points in front
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
 * Measures a homography against all pairs.
 * @param reference a pair that it certainly maps, which says where in front is
 * @param best gives up, with undefined, as soon as the cost is no smaller
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
