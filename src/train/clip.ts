import type { Value } from '../onnx/graph.js';
import { add, div, greater, mul, sqrt, where } from '../onnx/ops/elementwise.js';
import { sumOfSquares } from '../onnx/ops/reduce.js';
import type { ParameterGradient } from '../optim/updates.js';
import type { Term } from './loggedTerms.js';

/** Clipping of gradients by their global norm (Pascanu et al., arXiv 1211.5063), with PyTorch's semantics. */

/** The global norm's name in the log. */
export const GRADIENT_NORM = 'grad_norm' satisfies Term;

/** Keeps the scale finite where all gradients are zero; PyTorch's number. */
const NORM_EPSILON = 1e-6;

/**
 * Whether a parameter's gradient is part of the norm and is clipped: all but the online classifier's, which watches the
 * network and must not change what it learns.
 */
function isClipped(parameter: string): boolean {
  return !parameter.startsWith('classifier.');
}

/** Norm of all gradients that are clipped, taken as one vector. Scalar. */
export function globalNorm(gradients: readonly ParameterGradient[]): Value {
  const squares = gradients.filter(({ value }) => isClipped(value.name)).map(({ gradient }) => sumOfSquares(gradient));
  return sqrt(squares.reduce((sum, square) => add(sum, square)));
}

/** The factor of every gradient: min(1, clipNorm / (norm + 1e-6)). Scalar. */
export function clipScale(norm: Value, clipNorm: number): Value {
  const ratio = div(clipNorm, add(norm, NORM_EPSILON));
  const one = norm.graph.scalar(1, norm.dtype);
  return where(greater(ratio, one), one, ratio);
}

/** The gradients, scaled where they are clipped. */
export function scaledGradients(gradients: readonly ParameterGradient[], scale: Value): ParameterGradient[] {
  return gradients.map(({ value, gradient }) => ({
    value,
    gradient: isClipped(value.name) ? mul(gradient, scale) : gradient,
  }));
}
