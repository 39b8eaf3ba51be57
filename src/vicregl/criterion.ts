import type { Value } from '../onnx/graph.js';
import { add, div, mul, relu, sqrt, sub } from '../onnx/ops/elementwise.js';
import { matmul } from '../onnx/ops/linear.js';
import { reduceMean, reduceSum } from '../onnx/ops/reduce.js';
import { matrixTranspose, transpose } from '../onnx/ops/shape.js';

/**
 * The VICReg criterion (Bardes et al., arXiv 2105.04906, equations 1 to 6; VICRegL, section 3) on vectors of a batch:
 * [N, D], or [N, G, D] where each of G positions has statistics of its own over the batch, averaged over positions.
 */

/** Keeps the square root's slope finite (VICReg, equation 2). */
const VARIANCE_EPSILON = 1e-4;

/** s(X, Y): mean squared difference over all elements. Scalar. */
export function invarianceLoss(x: Value, y: Value): Value {
  const difference = sub(x, y);
  return reduceMean(mul(difference, difference));
}

/** What variance and covariance share. */
export interface BatchStatistics {
  /** X less its mean over the batch, the shape of X. */
  readonly centred: Value;
  /** Unbiased variance over the batch: [D] or [G, D]. */
  readonly variance: Value;
}

export function batchStatistics(x: Value): BatchStatistics {
  const n = x.shape[0] as number;
  const centred = sub(x, reduceMean(x, [0], { keepDims: true }));
  return { centred, variance: div(reduceSum(mul(centred, centred), [0]), n - 1) };
}

/** v(X): mean of max(0, 1 - sqrt(Var + 1e-4)) over dimensions (and positions). Scalar. */
export function varianceLoss({ variance }: BatchStatistics): Value {
  return reduceMean(relu(sub(1, sqrt(add(variance, VARIANCE_EPSILON)))));
}

/**
 * c(X): sum of the squared off-diagonal covariances over D, mean over positions. Scalar.
 *
 * sum_ij C_ij^2 is the squared Frobenius norm of X^T X / (N - 1), which is also that of the Gram matrix X X^T / (N - 1).
 * The smaller of the two is formed: [N, N] where the batch is smaller than D, else [D, D].
 */
export function covarianceLoss({ centred, variance }: BatchStatistics): Value {
  const n = centred.shape[0] as number;
  const d = centred.shape.at(-1) as number;
  const positions = variance.shape.length === 2 ? (variance.shape[0] as number) : 1;
  const byPosition = centred.shape.length === 3 ? transpose(centred, [1, 0, 2]) : centred;
  const product =
    n < d ? matmul(byPosition, matrixTranspose(byPosition)) : matmul(matrixTranspose(byPosition), byPosition);
  const all = div(reduceSum(mul(product, product)), (n - 1) ** 2);
  const diagonal = reduceSum(mul(variance, variance));
  return div(sub(all, diagonal), d * positions);
}
