import type { Value } from '../onnx/graph.js';
import { stopGradient } from '../onnx/ops/differentiation.js';
import { add, cast, mul, sub } from '../onnx/ops/elementwise.js';
import { gatherElements, oneHot, smallest } from '../onnx/ops/indexing.js';
import { matmul } from '../onnx/ops/linear.js';
import { argMin, reduceSum } from '../onnx/ops/reduce.js';
import { matrixTranspose, reshape, unsqueeze } from '../onnx/ops/shape.js';
import { GraphError } from '../onnx/shapes.js';

/**
 * Matching of the cells of two maps (paper, section 3, "location-based" and "feature-based" matching; authors' code for
 * the choice of vectors and of gamma). Selections carry no gradient.
 */

/** Pairs of cells of a batch: int64 [B, G], sources ascending. `sources` is absent when every cell is kept in order. */
export interface CellPairs {
  readonly sources?: Value;
  readonly targets: Value;
}

/** Squared distances between locations [B, P, 2] and [B, Q, 2], by differences: [B, P, Q]. */
export function locationDistances(source: Value, target: Value): Value {
  const difference = sub(unsqueeze(source, [2]), unsqueeze(target, [1]));
  return reduceSum(mul(difference, difference), [-1]);
}

/** Squared L2 distances between cell vectors [B, P, D] and [B, Q, D]: |a|^2 + |b|^2 - 2 ab, [B, P, Q]. */
export function featureDistances(source: Value, target: Value): Value {
  const a = stopGradient(source);
  const b = stopGradient(target);
  const squaredA = reduceSum(mul(a, a), [-1], { keepDims: true });
  const squaredB = matrixTranspose(reduceSum(mul(b, b), [-1], { keepDims: true }));
  return sub(add(squaredA, squaredB), mul(matmul(a, matrixTranspose(b)), 2));
}

/**
 * Pairs every source cell with its nearest target cell (the lower index on ties) and keeps the `gamma` pairs of
 * smallest distance, in ascending order of the source; all pairs where gamma is 'all'.
 * @param distances [B, P, Q].
 * @throws GraphError when gamma exceeds the number of source cells P.
 */
export function nearestPairs(distances: Value, gamma: number | 'all'): CellPairs {
  const [batch, cells] = distances.shape as readonly [number, number];
  const nearest = argMin(distances, 2);
  if (gamma === 'all' || gamma === cells) return { targets: nearest };
  if (gamma > cells) {
    throw new GraphError(`numMatches ${gamma} exceeds the ${cells} cells of the map; use at most ${cells}`);
  }
  // Gathered by index: CUDA has no kernel for ReduceMin in the form that it has since operator set 20.
  const smallestDistances = gatherElements(distances, unsqueeze(nearest, [2]), 2);
  const kept = smallest(reshape(smallestDistances, [batch, cells]), gamma).indices;
  const sources = smallest(kept, gamma).values;
  return { sources, targets: gatherElements(nearest, sources, 1) };
}

/**
 * The vectors of chosen cells: [B, P, D] at int64 [B, G] -> [B, G, D]. A product with the one-hot selection: its
 * gradient is a product too, which adds up repeated cells in a fixed order on every device (a scatter would not).
 */
export function selectCells(maps: Value, cells: Value): Value {
  return matmul(cast(oneHot(cells, maps.shape[1] as number), maps.dtype), maps);
}
