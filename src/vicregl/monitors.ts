import type { Value } from '../onnx/graph.js';
import { add, cast, div, greater, mul, neg, sqrt, sub, where } from '../onnx/ops/elementwise.js';
import { gatherElements } from '../onnx/ops/indexing.js';
import { logSoftmax, reduceMean, reduceSum } from '../onnx/ops/reduce.js';
import { unsqueeze } from '../onnx/ops/shape.js';
import { tensor } from '../tensor/tensor.js';
import { batchStatistics } from './vicregTerms.js';

/** Monitors, which are logged and not optimised, and the online classifier's loss. */

/**
 * Collapse monitor: standard deviation over the batch (unbiased) of the L2-normalised vectors [N, D], mean over
 * channels. Near 1/sqrt(D) when healthy, near 0 when collapsed. Scalar.
 */
export function normalisedStd(x: Value): Value {
  const norm = add(sqrt(reduceSum(mul(x, x), [-1], { keepDims: true })), 1e-12);
  return reduceMean(sqrt(batchStatistics(div(x, norm)).variance));
}

/**
 * Redundancy monitor: mean off-diagonal correlation of the vectors [N, D], standardised by unbiased std + 1e-5. Scalar.
 * The sum over all pairs of dimensions is the squared row sum, so that no [D, D] matrix is formed.
 */
export function meanCorrelation(x: Value): Value {
  const [n, d] = x.shape as readonly [number, number];
  const { centred, variance } = batchStatistics(x);
  const standardised = div(centred, add(sqrt(variance), 1e-5));
  const rows = reduceSum(standardised, [-1]);
  const all = reduceSum(mul(rows, rows));
  const diagonal = reduceSum(mul(standardised, standardised));
  return div(sub(all, diagonal), (n - 1) * d * (d - 1));
}

/** Mean cross-entropy of logits [N, K] with int64 labels [N]. Scalar. */
export function crossEntropy(logits: Value, labels: Value): Value {
  return neg(reduceMean(gatherElements(logSoftmax(logits), unsqueeze(labels, [1]), 1)));
}

/**
 * Share of the batch whose label is among the k largest logits. Scalar. Of equal logits the first is the larger one, as in classRank
 * (tensor/rows.ts): otherwise a network that gives the same logit to all classes would be right about all photographs.
 */
export function topAccuracy(logits: Value, labels: Value, k: number): Value {
  const label = unsqueeze(labels, [1]);
  const own = gatherElements(logits, label, 1);
  const indices = BigInt64Array.from({ length: logits.shape[1] as number }, (_, i) => BigInt(i));
  const before = greater(label, logits.graph.constant(tensor('int64', [indices.length], indices)));
  const [larger, smaller] = [greater(logits, own), greater(own, logits)].map((one) => cast(one, 'float32'));
  const rank = reduceSum(where(before, sub(1, smaller!), larger!), [-1]);
  return reduceMean(cast(greater(k, rank), 'float32'));
}
