import type { Value } from '../onnx/graph.js';
import { differentiateBy } from '../onnx/ops/differentiation.js';
import { add, div, mul, relu, sqrt, sub } from '../onnx/ops/elementwise.js';
import { matmul } from '../onnx/ops/linear.js';
import { reduceMean, reduceSum } from '../onnx/ops/reduce.js';
import { concat, matrixTranspose, slice, transpose } from '../onnx/ops/shape.js';

/**
 * The VICReg criterion (Bardes et al., arXiv 2105.04906, equations 1 to 6; VICRegL, section 3) on vectors of a batch:
 * [N, D], or [N, G, D] where each of G positions has statistics of its own over the batch, averaged over positions.
 */

/** Keeps the square root's derivative finite (VICReg, equation 2). */
const VARIANCE_EPSILON = 1e-4;

/** s(X, Y): mean squared difference over all elements. Scalar. */
export function invarianceLoss(x: Value, y: Value): Value {
  const difference = sub(x, y);
  return reduceMean(mul(difference, difference));
}

/** What variance and covariance share. */
export interface BatchStatistics {
  /** X minus its mean over the batch, the shape of X. */
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

/** Elements of the matrices that a covariance forms at a time (16 MiB of float32). */
const CHUNK_ELEMENTS = 2 ** 22;

/**
 * c(X): sum of the squared off-diagonal covariances over D, mean over positions. Scalar.
 *
 * With S the off-diagonal part of X^T X = (N - 1) C, sum_ij S_ij^2 = <X, X S>, and its derivative is 4 X S: one tensor of
 * the shape of X gives both the value and the gradient, and no [D, D] matrix is kept longer than one product. X S is
 * X X^T X minus the diagonal's part. It is computed through the smaller matrix ([N, N] where the batch is smaller than D,
 * else [D, D]), over chunks of positions.
 * @param chunkElements bound of the matrices of one chunk, in elements; at least one position is taken.
 */
export function covarianceLoss({ centred, variance }: BatchStatistics, chunkElements = CHUNK_ELEMENTS): Value {
  const n = centred.shape[0] as number;
  const d = centred.shape.at(-1) as number;
  const positions = variance.shape.length === 2 ? (variance.shape[0] as number) : 1;
  const atOnce = Math.max(1, Math.floor(chunkElements / Math.min(n, d) ** 2));
  const sums: Value[] = [];
  const products: Value[] = [];
  for (let start = 0; start < positions; start += atOnce) {
    const end = Math.min(positions, start + atOnce);
    const whole = end - start === positions;
    const x = whole ? centred : slice(centred, [{ axis: 1, start, end }]);
    const diagonal = whole ? variance : slice(variance, [{ axis: 0, start, end }]);
    const product = sub(cubed(x), mul(x, mul(diagonal, n - 1)));
    products.push(product);
    sums.push(reduceSum(mul(x, product)));
  }
  const scale = (n - 1) ** 2 * d * positions;
  const value = div(
    sums.reduce((total, part) => add(total, part)),
    scale,
  );
  return differentiateBy(value, centred, (gy) => mul(concat(products, 1), mul(gy, 4 / scale)));
}

/** X X^T X of every position: [N, D], or [N, G, D] of [N, G, D]. */
function cubed(x: Value): Value {
  const [n, d] = [x.shape[0] as number, x.shape.at(-1) as number];
  const positions = x.shape.length === 3;
  const m = positions ? transpose(x, [1, 0, 2]) : x;
  const product = n < d ? matmul(matmul(m, matrixTranspose(m)), m) : matmul(m, matmul(matrixTranspose(m), m));
  return positions ? transpose(product, [1, 0, 2]) : product;
}
