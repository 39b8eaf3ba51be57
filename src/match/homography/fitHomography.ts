import { EigenvalueDecomposition, Matrix } from 'ml-matrix';

/** [n, 4]: a point (x, y) of one image and the point (x', y') of the other that it belongs to, in pixels. */
export type PointPairs = Float64Array;

/** Row-major 3 x 3, the last element 1 (see `normalised`). */
export type HomographyMatrix = Float64Array;

/** A similarity that brings points around 0 at a mean distance of sqrt(2): x -> (x - cx) * s. */
interface Similarity {
  readonly cx: number;
  readonly cy: number;
  readonly s: number;
}

function similarityOf(pairs: PointPairs, chosen: ArrayLike<number>, side: 0 | 2): Similarity | undefined {
  let [cx, cy] = [0, 0];
  for (let i = 0; i < chosen.length; i++) {
    cx += pairs[chosen[i]! * 4 + side]!;
    cy += pairs[chosen[i]! * 4 + side + 1]!;
  }
  cx /= chosen.length;
  cy /= chosen.length;
  let distance = 0;
  for (let i = 0; i < chosen.length; i++) {
    distance += Math.hypot(pairs[chosen[i]! * 4 + side]! - cx, pairs[chosen[i]! * 4 + side + 1]! - cy);
  }
  return distance > 0 ? { cx, cy, s: (Math.SQRT2 * chosen.length) / distance } : undefined;
}

/** The upper triangle of A^T A of the direct linear transform, both halves filled; A has two rows for each pair. */
function normalMatrix(pairs: PointPairs, chosen: ArrayLike<number>, a: Similarity, b: Similarity): Float64Array {
  const sum = new Float64Array(81);
  const row = new Float64Array(9);
  const add = () => {
    for (let i = 0; i < 9; i++) for (let j = i; j < 9; j++) sum[i * 9 + j]! += row[i]! * row[j]!;
  };
  for (let n = 0; n < chosen.length; n++) {
    const at = chosen[n]! * 4;
    const x = (pairs[at]! - a.cx) * a.s;
    const y = (pairs[at + 1]! - a.cy) * a.s;
    const u = (pairs[at + 2]! - b.cx) * b.s;
    const v = (pairs[at + 3]! - b.cy) * b.s;
    row.set([-x, -y, -1, 0, 0, 0, u * x, u * y, u]);
    add();
    row.set([0, 0, 0, -x, -y, -1, v * x, v * y, v]);
    add();
  }
  for (let i = 0; i < 9; i++) for (let j = 0; j < i; j++) sum[i * 9 + j] = sum[j * 9 + i]!;
  return sum;
}

function determinant(h: ArrayLike<number>): number {
  return (
    h[0]! * (h[4]! * h[8]! - h[5]! * h[7]!) -
    h[1]! * (h[3]! * h[8]! - h[5]! * h[6]!) +
    h[2]! * (h[3]! * h[7]! - h[4]! * h[6]!)
  );
}

/** B^-1 H A for the similarities of both sides: the map between pixels. */
function toPixels(h: Float64Array, a: Similarity, b: Similarity): Float64Array {
  // H A: columns scaled, and the centre of a moved into the last one.
  const ha = new Float64Array(9);
  for (let r = 0; r < 9; r += 3) {
    ha[r] = h[r]! * a.s;
    ha[r + 1] = h[r + 1]! * a.s;
    ha[r + 2] = h[r + 2]! - a.s * (h[r]! * a.cx + h[r + 1]! * a.cy);
  }
  const result = new Float64Array(9);
  for (let c = 0; c < 3; c++) {
    result[c] = ha[c]! / b.s + b.cx * ha[6 + c]!;
    result[3 + c] = ha[3 + c]! / b.s + b.cy * ha[6 + c]!;
    result[6 + c] = ha[6 + c]!;
  }
  return result;
}

/** In the frame of the similarities every number is about 1: below this, equations or areas have vanished. */
const VANISHED = 1e-9;

/**
 * Least squares homography of pairs by the normalised direct linear transform (Hartley and Zisserman, Multiple View
 * Geometry, algorithm 4.2).
 * @param chosen indices of at least 4 pairs
 * @returns undefined if the pairs do not determine one (points that coincide or lie on a line), if it maps the plane
 *   to a line, or if it maps the pixel (0, 0) to infinity, which a last element of 1 cannot represent.
 */
export function fitHomography(pairs: PointPairs, chosen: ArrayLike<number>): HomographyMatrix | undefined {
  if (chosen.length < 4) return undefined;
  const a = similarityOf(pairs, chosen, 0);
  const b = similarityOf(pairs, chosen, 2);
  if (a === undefined || b === undefined) return undefined;
  const normal = normalMatrix(pairs, chosen, a, b);
  // Coordinates so large that squares overflow: the decomposition does not take them.
  if (!normal.every(Number.isFinite)) return undefined;
  const decomposition = new EigenvalueDecomposition(Matrix.from1DArray(9, 9, normal), { assumeSymmetric: true });
  const values = decomposition.realEigenvalues; // ascending
  // A second direction without error: many homographies would do.
  if (values[1]! <= VANISHED * values[8]!) return undefined;
  const h = Float64Array.from(decomposition.eigenvectorMatrix.getColumn(0));
  if (Math.abs(determinant(h)) < VANISHED) return undefined;
  const pixels = toPixels(h, a, b);
  const last = pixels[8]!;
  const largest = Math.max(...pixels.map(Math.abs));
  if (Math.abs(last) <= 1e-12 * largest) return undefined;
  for (let i = 0; i < 9; i++) pixels[i]! /= last;
  return pixels;
}
