import type { RandomStream } from '../../tensor/random.js';
import type { PointPairs } from './fitHomography.js';

/** Four different indices below count, at least 4. */
export function drawFour(random: RandomStream, count: number): [number, number, number, number] {
  const drawn: number[] = [];
  while (drawn.length < 4) {
    const index = random.integer(count);
    if (!drawn.includes(index)) drawn.push(index);
  }
  return drawn as [number, number, number, number];
}

/** Twice the signed area of a triangle of one side's points. */
function area(pairs: PointPairs, [i, j, k]: readonly [number, number, number], side: 0 | 2): number {
  const [ix, iy] = [pairs[i * 4 + side]!, pairs[i * 4 + side + 1]!];
  const [jx, jy] = [pairs[j * 4 + side]! - ix, pairs[j * 4 + side + 1]! - iy];
  const [kx, ky] = [pairs[k * 4 + side]! - ix, pairs[k * 4 + side + 1]! - iy];
  const twice = jx * ky - jy * kx;
  // Three points are on a line where their triangle is flat for its length.
  const longest = Math.max(jx * jx + jy * jy, kx * kx + ky * ky, (kx - jx) ** 2 + (ky - jy) ** 2);
  return Math.abs(twice) <= 1e-6 * longest ? 0 : twice;
}

/**
 * Whether four pairs determine a homography that keeps them on one side of the horizon: no three points on a line in either
 * image, and all four triangles turned over or none (Marquez-Neila and others, Speeding-up homography estimation in mobile
 * devices, 2013).
 */
export function isUsable(pairs: PointPairs, [a, b, c, d]: readonly [number, number, number, number]): boolean {
  let kept = 0;
  for (const triangle of [
    [a, b, c],
    [a, b, d],
    [a, c, d],
    [b, c, d],
  ] as const) {
    const product = area(pairs, triangle, 0) * area(pairs, triangle, 2);
    if (product === 0) return false;
    if (product > 0) kept++;
  }
  return kept === 0 || kept === 4;
}

/** Whether all points of one side lie on one line (or coincide), to a millionth of their extent. */
export function isCollinear(pairs: PointPairs, side: 0 | 2): boolean {
  const count = pairs.length / 4;
  let [cx, cy] = [0, 0];
  for (let i = 0; i < count; i++) {
    cx += pairs[i * 4 + side]! / count;
    cy += pairs[i * 4 + side + 1]! / count;
  }
  let [xx, xy, yy] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const [x, y] = [pairs[i * 4 + side]! - cx, pairs[i * 4 + side + 1]! - cy];
    xx += x * x;
    xy += x * y;
    yy += y * y;
  }
  const spread = xx + yy;
  // The smaller eigenvalue of the scatter, without the cancellation of its usual formula.
  const smaller = spread === 0 ? 0 : (xx * yy - xy * xy) / spread;
  return smaller <= 1e-12 * spread;
}
