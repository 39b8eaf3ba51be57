/** Samples of four pairs, the fewest that determine a homography: how they are drawn, checked and solved. */

import type { RandomStream } from '../../tensor/random.js';
import type { HomographyMatrix, PointPairs } from './fitHomography.js';

/**
 * Draws four different indices.
 * @param count the indices lie in 0 to count - 1; at least 4
 */
export function drawFour(random: RandomStream, count: number): [number, number, number, number] {
  const drawn: number[] = [];
  while (drawn.length < 4) {
    const index = random.integer(count);
    if (!drawn.includes(index)) drawn.push(index);
  }
  return drawn as [number, number, number, number];
}

/** Twice the signed area of a triangle of points of one image; 0 where they lie on a line. */
function area(pairs: PointPairs, [i, j, k]: readonly [number, number, number], side: 0 | 2): number {
  const [ix, iy] = [pairs[i * 4 + side]!, pairs[i * 4 + side + 1]!];
  const [jx, jy] = [pairs[j * 4 + side]! - ix, pairs[j * 4 + side + 1]! - iy];
  const [kx, ky] = [pairs[k * 4 + side]! - ix, pairs[k * 4 + side + 1]! - iy];
  const twice = jx * ky - jy * kx;
  // Three points lie on a line where the area is tiny compared to the longest side.
  const longest = Math.max(jx * jx + jy * jy, kx * kx + ky * ky, (kx - jx) ** 2 + (ky - jy) ** 2);
  return Math.abs(twice) <= 1e-6 * longest ? 0 : twice;
}

/**
 * Whether four pairs determine a homography that keeps them on one side of the horizon: no three points lie on a line in either
 * image, and the orientation changes for all four triangles or for none (Marquez-Neila and others, Speeding-up homography
 * estimation in mobile devices, 2013).
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

/** Whether all points of one image lie on one line (or coincide), to a millionth of their extent. */
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

/** Cross product of two points (x, y, 1) of one image. */
function cross(pairs: PointPairs, i: number, j: number): readonly [number, number, number] {
  const [ax, ay, bx, by] = [pairs[i]!, pairs[i + 1]!, pairs[j]!, pairs[j + 1]!];
  return [ay - by, bx - ax, ax * by - ay * bx];
}

/**
 * The homography of exactly four pairs, of which no three lie on a line in either image. It maps the points exactly, at a
 * fraction of the cost of least squares over more pairs (`fitHomography`).
 *
 * With points p and q as (x, y, 1), and c1 = p2 x p3 and so on: p4 = sum of l_i p_i with l_i = p4 . c_i (up to a common
 * factor), q4 = sum of m_i q_i likewise, and H = sum of (m_i / l_i) q_i c_i^T, because c_i . p_j is 0 for i != j and the same
 * for all i = j.
 * @returns undefined if the pixel (0, 0) maps to infinity, which a matrix with a last element of 1 cannot express.
 */
export function homographyOfFour(
  pairs: PointPairs,
  sample: readonly [number, number, number, number],
): HomographyMatrix | undefined {
  const p = sample.map((index) => index * 4);
  const h = new Float64Array(9);
  for (let i = 0; i < 3; i++) {
    const [first, second, last] = [p[(i + 1) % 3]!, p[(i + 2) % 3]!, p[3]!];
    const c = cross(pairs, first, second);
    const d = cross(pairs, first + 2, second + 2);
    const l = c[0] * pairs[last]! + c[1] * pairs[last + 1]! + c[2];
    const m = d[0] * pairs[last + 2]! + d[1] * pairs[last + 3]! + d[2];
    const weight = m / l;
    const q = [pairs[p[i]! + 2]!, pairs[p[i]! + 3]!, 1];
    for (let row = 0; row < 3; row++) {
      for (let column = 0; column < 3; column++) h[row * 3 + column]! += weight * q[row]! * c[column]!;
    }
  }
  const last = h[8]!;
  const largest = Math.max(...h.map(Math.abs));
  if (!(Math.abs(last) > 1e-12 * largest)) return undefined;
  for (let i = 0; i < 9; i++) h[i]! /= last;
  return h;
}
