import type { HomographyMatrix, PointPairs } from './fitHomography.js';

/** Cross product of two points (x, y, 1) of one side. */
function cross(pairs: PointPairs, i: number, j: number): readonly [number, number, number] {
  const [ax, ay, bx, by] = [pairs[i]!, pairs[i + 1]!, pairs[j]!, pairs[j + 1]!];
  return [ay - by, bx - ax, ax * by - ay * bx];
}

/**
 * The homography of exactly four pairs, no three of them on a line in either image: it takes points to points without a
 * remainder, at a fraction of the cost of the least squares over more pairs (`fitHomography`).
 *
 * With points p and q as (x, y, 1), c1 = p2 x p3 and so on: p4 = sum of l_i p_i for l_i = p4 . c_i (to a common factor), q4 = sum
 * of m_i q_i alike, and H = sum of (m_i / l_i) q_i c_i^T, since c_i . p_j is 0 for i != j and the same for all i = j.
 * @returns undefined where it takes the pixel (0, 0) to infinity, which a last element of 1 cannot say.
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
