import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { stream } from '../tensor/random.js';

/** A symmetric linear map of vectors of length n, applied to several at once. */
export type SymmetricMap = (vectors: readonly Float64Array[]) => Float64Array[];

export interface EigenPairs {
  /** Largest first. */
  readonly values: readonly number[];
  /** Orthonormal, in the order of the values. */
  readonly vectors: readonly Float64Array[];
}

/** Largest residual |A u - value u| as a share of the largest eigenvalue. */
const TOLERANCE = 1e-9;

/** A remainder below this share of a vector's length is rounding. */
const DEPENDENT = 1e-10;

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function subtract(from: Float64Array, scale: number, what: Float64Array): void {
  for (let i = 0; i < from.length; i++) from[i]! -= scale * what[i]!;
}

/** The part of a vector orthogonal to a basis, scaled to length 1; undefined if there is none. */
function orthonormalTo(basis: readonly Float64Array[], vector: Float64Array): Float64Array | undefined {
  const rest = Float64Array.from(vector);
  const before = Math.sqrt(dot(rest, rest));
  // Two passes are enough: the second removes what rounding left of the basis in the first.
  for (let pass = 0; pass < 2; pass++) for (const q of basis) subtract(rest, dot(q, rest), q);
  const length = Math.sqrt(dot(rest, rest));
  if (!(length > DEPENDENT * before)) return undefined;
  for (let i = 0; i < rest.length; i++) rest[i]! /= length;
  return rest;
}

/** An orthonormal basis of the part of the vectors outside the span of a basis. */
function extend(basis: readonly Float64Array[], vectors: readonly Float64Array[]): Float64Array[] {
  const block: Float64Array[] = [];
  for (const vector of vectors) {
    const next = orthonormalTo([...basis, ...block], vector);
    if (next) block.push(next);
  }
  return block;
}

function combine(vectors: readonly Float64Array[], weights: readonly number[]): Float64Array {
  const sum = new Float64Array(vectors[0]!.length);
  for (const [i, vector] of vectors.entries()) subtract(sum, -weights[i]!, vector);
  return sum;
}

/**
 * The k largest eigenvalues of a positive semidefinite map and their eigenvectors, by a block Krylov method: Rayleigh-Ritz on
 * the span of S, A S, A^2 S, ... for a fixed pseudorandom block S of k + 2 vectors, fully orthogonalised, until the residuals
 * are rounding. A block of k + 2 vectors also finds repeated eigenvalues. Deterministic: the same input gives the same result.
 * @param n length of the vectors, at least k
 */
export function largestEigenPairs(apply: SymmetricMap, n: number, k: number): EigenPairs {
  const random = stream(0, 'krylov');
  const draw = (): Float64Array => Float64Array.from({ length: n }, () => random.uniform(-1, 1));
  const basis: Float64Array[] = [];
  const images: Float64Array[] = [];
  let block = extend([], Array.from({ length: Math.min(n, k + 2) }, draw));
  for (;;) {
    const imagesOfBlock = apply(block);
    basis.push(...block);
    images.push(...imagesOfBlock);
    block = extend(basis, imagesOfBlock);
    if (basis.length < k) {
      // The range of the map is exhausted: all further vectors have the eigenvalue 0.
      if (block.length === 0) block = extend(basis, Array.from({ length: k - basis.length }, draw));
      continue;
    }
    const projected = new Matrix(basis.length, basis.length);
    for (const [i, q] of basis.entries()) {
      for (let j = 0; j <= i; j++) {
        const value = dot(q, images[j]!);
        projected.set(i, j, value);
        projected.set(j, i, value);
      }
    }
    const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(projected, { assumeSymmetric: true });
    const order = realEigenvalues.map((_, i) => i).sort((a, b) => realEigenvalues[b]! - realEigenvalues[a]!);
    const values = order.slice(0, k).map((i) => Math.max(0, realEigenvalues[i]!));
    const weights = order.slice(0, k).map((i) => eigenvectorMatrix.getColumn(i));
    const vectors = weights.map((weight) => combine(basis, weight));
    const converged = vectors.every((vector, i) => {
      const residual = combine(images, weights[i]!);
      subtract(residual, values[i]!, vector);
      return Math.sqrt(dot(residual, residual)) <= TOLERANCE * values[0]!;
    });
    if (converged || block.length === 0) return { values, vectors };
  }
}
