/** Pictures of a plane. Points are in edge coordinates: the centre of the first pixel is (0.5, 0.5). */

import { type Homography, type Point, project } from '../../image/homography.js';
import type { Size } from '../../image/types.js';

/** The same homography in edge coordinates, given one in which the centre of the first pixel is (0, 0), as in OpenCV. */
export function fromPixelCentres(h: Homography): Homography {
  // T(1/2) H T(-1/2).
  const moved = [0, 3, 6].flatMap((r) => [h[r]!, h[r + 1]!, h[r + 2]! - 0.5 * (h[r]! + h[r + 1]!)]);
  const last = moved.slice(6);
  return moved.map((value, i) => (i < 6 ? value + 0.5 * last[i % 3]! : value));
}

/** The corners of a picture, around it. */
export function cornersOf({ width, height }: Size): readonly Point[] {
  return [
    { x: 0, y: 0 },
    { x: width, y: 0 },
    { x: width, y: height },
    { x: 0, y: height },
  ];
}

/** Whether the whole picture lies on one side of the horizon, so that it has an image of four sides. */
export function isInFront(h: Homography, size: Size): boolean {
  const signs = cornersOf(size).map(({ x, y }) => Math.sign(h[6]! * x + h[7]! * y + h[8]!));
  return signs[0] !== 0 && signs.every((sign) => sign === signs[0]);
}

/**
 * Mean distance between the images of the four corners of a picture under two homographies, in pixels of the other picture
 * (DeTone and others 2018, arXiv 1712.07629; also used by SuperGlue and LoFTR).
 * @returns infinity where a corner lies on the horizon of `found`
 */
export function cornerError(found: Homography, truth: Homography, size: Size): number {
  let sum = 0;
  for (const corner of cornersOf(size)) {
    const [is, should] = [project(found, corner), project(truth, corner)];
    sum += Math.hypot(is.x - should.x, is.y - should.y);
  }
  return Number.isFinite(sum) ? sum / 4 : Number.POSITIVE_INFINITY;
}
