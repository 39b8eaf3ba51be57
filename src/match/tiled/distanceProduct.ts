/** Squared distances between two sets of vectors as one matrix product, for which each vector gets two further columns. */

import { EXPORT_OPSET, Graph } from '../../onnx/graph.js';
import { cast } from '../../onnx/ops/elementwise.js';
import { smallest } from '../../onnx/ops/indexing.js';
import { gemm } from '../../onnx/ops/linear.js';
import { matrixTranspose } from '../../onnx/ops/shape.js';
import { forEachSlice } from '../../tensor/slices.js';
import type { Normalisation } from './normalisation.js';

/** Columns that each vector gets. */
export const EXTRA_COLUMNS = 2;

/** A larger squared norm would come near the largest float32. */
const LARGEST_SQUARE = 2 ** 100;

/** Rows of a factor of the product, one for each vector. */
export interface FactorRows {
  /** [count, channels + 2] */
  readonly data: Float32Array;
  /** [count] squared norms of the normalised vectors. */
  readonly squared: Float32Array;
}

/**
 * Vectors as rows of a factor: (-2x, |x|^2, 1) on the left and (x, 1, |x|^2) on the right, where x is the normalised vector. A
 * left row times a right row is |x|^2 - 2xy + |y|^2. A vector of more than 2^50 normalised lengths is drawn to this distance from the
 * centre, where it is still far from all others. Pauses every few milliseconds.
 * @param vectors [count, channels]
 * @param into overwritten and returned if it has the right length
 */
export function* factorRows(
  side: 'left' | 'right',
  vectors: Float32Array,
  channels: number,
  { centre, scale }: Normalisation,
  into?: Float32Array,
): Generator<void, FactorRows> {
  const count = vectors.length / channels;
  const width = channels + EXTRA_COLUMNS;
  const data = into?.length === count * width ? into : new Float32Array(count * width);
  const squared = new Float32Array(count);
  const factor = side === 'left' ? -2 : 1;
  /** Writes the normalised vector of a row. @returns its squared norm */
  const write = (i: number, by: number): number => {
    const from = i * channels;
    const to = i * width;
    let sum = 0;
    for (let k = 0; k < channels; k++) {
      const value = Math.fround((vectors[from + k]! - centre[k]!) * by);
      data[to + k] = factor * value;
      sum += value * value;
    }
    return sum;
  };
  yield* forEachSlice(count, channels, (first, end) => {
    for (let i = first; i < end; i++) {
      const to = i * width;
      let sum = write(i, scale);
      if (!(sum <= LARGEST_SQUARE)) {
        // Its elements may be infinite at this scale. Near 1 they are not.
        const length = Math.sqrt(write(i, scale / 2 ** 160)) * 2 ** 160;
        sum = write(i, (scale * Math.sqrt(LARGEST_SQUARE)) / length);
      }
      squared[i] = sum;
      data[to + channels] = side === 'left' ? sum : 1;
      data[to + channels + 1] = side === 'left' ? 1 : sum;
    }
  });
  return { data, squared };
}

/**
 * The squared distances of one tile and the nearest neighbours in both directions: one Gemm and two TopK.
 *
 * Inputs: `a` [n, C + 2] and `b` [m, C + 2], left and right factor rows (adding the norms after the product would pass over
 * [n, m] twice more); int64 `keep_a` and `keep_b` [1], how many neighbours to keep for each row of a and of b. Outputs, in
 * ascending order of distance, ties to the lower index: `values_a` [n, keep_a] float32, `indices_a` [n, keep_a] int32 rows of
 * b; `values_b` [m, keep_b], `indices_b` [m, keep_b] rows of a.
 */
export function distanceGraph(): Graph {
  const graph = new Graph(EXPORT_OPSET);
  const a = graph.input('a', 'float32', ['n', 'columns']);
  const b = graph.input('b', 'float32', ['m', 'columns']);
  const squared = gemm(a, b, { transB: true });
  const fromA = smallest(squared, graph.input('keep_a', 'int64', [1]));
  const fromB = smallest(matrixTranspose(squared), graph.input('keep_b', 'int64', [1]));
  graph.output('values_a', fromA.values);
  graph.output('indices_a', cast(fromA.indices, 'int32'));
  graph.output('values_b', fromB.values);
  graph.output('indices_b', cast(fromB.indices, 'int32'));
  return graph;
}
