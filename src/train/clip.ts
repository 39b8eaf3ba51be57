import type { Value } from '../onnx/graph.js';
import { add, div, greater, sqrt, where } from '../onnx/ops/elementwise.js';
import { sumOfSquares } from '../onnx/ops/reduce.js';

/** Clipping of gradients by their global norm (Pascanu et al., arXiv 1211.5063), with PyTorch's semantics. */

/** Keeps the scale finite where all gradients are zero; PyTorch's number. */
const NORM_EPSILON = 1e-6;

/** Norm of all gradients taken as one vector. Scalar. */
export function globalNorm(gradients: readonly Value[]): Value {
  return sqrt(gradients.map(sumOfSquares).reduce((sum, square) => add(sum, square)));
}

/** The factor of every gradient: min(1, clipNorm / (norm + 1e-6)). Scalar. */
export function clipScale(norm: Value, clipNorm: number): Value {
  const ratio = div(clipNorm, add(norm, NORM_EPSILON));
  const one = norm.graph.scalar(1, norm.dtype);
  return where(greater(ratio, one), one, ratio);
}
