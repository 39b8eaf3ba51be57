import type { ElementType } from '../onnx/elementTypes.js';
import type { Graph, Value } from '../onnx/graph.js';
import { differentiateBy } from '../onnx/ops/differentiation.js';
import { add, div, exp, mul, neg, sqrt, sub } from '../onnx/ops/elementwise.js';
import { matmul } from '../onnx/ops/linear.js';
import { logSoftmax, reduceSum } from '../onnx/ops/reduce.js';
import { concat, matrixTranspose, slice, transpose, unsqueeze } from '../onnx/ops/shape.js';
import { tensor } from '../tensor/tensor.js';

/**
 * NT-Xent, the loss of SimCLR (Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
 * arXiv 2002.05709, equation 1), on matched vectors X, Y of a batch: [N, D], or [N, G, D] where each of G positions is a
 * batch of its own, averaged over positions.
 *
 * Each of the 2N vectors is an anchor. Its loss is minus the log of its partner's share of the sum of
 * exp(cosine / temperature) over the other 2N - 1 vectors; the mean over anchors. The 2 (N - 1) negatives are both vectors of
 * each other image. Symmetric in X and Y.
 */

/** Added to the squared norm, so that a vector of zeros has a finite gradient; lost in rounding for any other. */
const SQUARED_NORM_EPSILON = 1e-24;

/** Added to the similarity of a vector with itself: takes it out of the softmax. */
const MASKED = -1e9;

/** Elements of the similarities that are formed at a time (16 MiB of float32). */
const CHUNK_ELEMENTS = 2 ** 22;

/** Vectors along the last axis, divided by their L2 norm. */
export function unitVectors(x: Value): Value {
  return div(x, sqrt(add(reduceSum(mul(x, x), [-1], { keepDims: true }), SQUARED_NORM_EPSILON)));
}

/** Constants [2N, 2N] with a row for each anchor. */
export interface AnchorMasks {
  /** Added to the similarities: 0, except for an anchor with itself. */
  readonly self: Value;
  /** 1 at the anchor's partner. */
  readonly partner: Value;
}

/** The masks of a batch of N images; all losses of a graph share them. */
export function anchorMasks(graph: Graph, dtype: ElementType, n: number): AnchorMasks {
  const size = 2 * n;
  const mask = (value: number, column: (row: number) => number): Value => {
    const elements = dtype === 'float64' ? new Float64Array(size * size) : new Float32Array(size * size);
    for (let row = 0; row < size; row++) elements[row * size + column(row)] = value;
    return graph.constant(
      elements instanceof Float64Array
        ? tensor('float64', [size, size], elements)
        : tensor('float32', [size, size], elements),
    );
  };
  return { self: mask(MASKED, (row) => row), partner: mask(1, (row) => (row + n) % size) };
}

interface NtXentOptions {
  readonly temperature: number;
  readonly masks?: AnchorMasks;
  /** Bound of the similarities of one chunk of positions, in elements; at least one position is taken. */
  readonly chunkElements?: number;
}

/**
 * The loss of unit vectors (see unitVectors). Scalar.
 *
 * With W all 2N vectors of a position and A = softmax(W W^T / t) - partner, the derivative is (A + A^T) W / t: one tensor
 * of the shape of W gives the gradient as well as the value, and no [2N, 2N] matrix is kept longer than one product.
 */
export function ntXentLoss(x: Value, y: Value, options: NtXentOptions): Value {
  const n = x.shape[0] as number;
  const { temperature, masks = anchorMasks(x.graph, x.dtype, n), chunkElements = CHUNK_ELEMENTS } = options;
  const [a, b] = [x, y].map((one) => (one.shape.length === 3 ? transpose(one, [1, 0, 2]) : unsqueeze(one, [0])));
  const all = concat([a!, b!], 1);
  const positions = all.shape[0] as number;
  const atOnce = Math.max(1, Math.floor(chunkElements / (2 * n) ** 2));
  const sums: Value[] = [];
  const products: Value[] = [];
  for (let start = 0; start < positions; start += atOnce) {
    const end = Math.min(positions, start + atOnce);
    const w = end - start === positions ? all : slice(all, [{ axis: 0, start, end }]);
    const similarities = div(matmul(w, matrixTranspose(w)), temperature);
    const logShares = logSoftmax(add(similarities, masks.self));
    sums.push(neg(reduceSum(mul(logShares, masks.partner))));
    const excess = sub(exp(logShares), masks.partner);
    products.push(matmul(add(excess, matrixTranspose(excess)), w));
  }
  const anchors = 2 * n * positions;
  const value = div(
    sums.reduce((total, part) => add(total, part)),
    anchors,
  );
  return differentiateBy(value, all, (gy) => mul(concat(products, 0), mul(gy, 1 / (temperature * anchors))));
}
