import type { Homography__Output } from '../proto/generated/vicregl/v1/Homography.js';

/** Why there is no homography: fewer than 4 pairs, collinear points, or no 4 pairs in general position. */
export type HomographyAbsence = 'tooFewPairs' | 'collinear' | 'degenerate';

/** A homography between two images. */
export interface Homography {
  /**
   * 9 numbers, row-major, the last 1: (x', y', w) = H (x, y, 1) maps a pixel of a's original to (x'/w, y'/w) in b's. Absent
   * if none was found.
   */
  readonly matrix?: readonly number[];
  readonly absence?: HomographyAbsence;
  /** For each pair, whether it is an inlier. */
  readonly inliers: readonly boolean[];
  readonly inlierCount: number;
  /** Root mean square of the inliers' distances, in pixels of b's original. */
  readonly inlierRms: number;
  /** Samples drawn. */
  readonly iterations: number;
}

const absences: Readonly<Record<string, HomographyAbsence>> = {
  HOMOGRAPHY_ABSENCE_TOO_FEW_PAIRS: 'tooFewPairs',
  HOMOGRAPHY_ABSENCE_COLLINEAR: 'collinear',
  HOMOGRAPHY_ABSENCE_DEGENERATE: 'degenerate',
};

export function readHomography(message: Homography__Output): Homography {
  const { matrix, inliers, inlierCount, inlierRms, iterations } = message;
  const absence = absences[message.absence];
  return {
    ...(matrix.length === 9 && { matrix }),
    ...(absence !== undefined && { absence }),
    inliers,
    inlierCount,
    inlierRms,
    iterations,
  };
}
