import { EXPORT_OPSET, Graph } from '../../onnx/graph.js';
import { cast } from '../../onnx/ops/elementwise.js';
import { smallest } from '../../onnx/ops/indexing.js';
import { gemm } from '../../onnx/ops/linear.js';
import { matrixTranspose } from '../../onnx/ops/shape.js';

/**
 * Squared distances of a tile, and the nearest in both directions, as one Gemm and two TopK.
 *
 * `a` [n, C + 2] and `b` [m, C + 2] are terms (see terms.ts) whose product is the squared distance: adding norms to a
 * product afterwards would pass over [n, m] twice more. int64 `keep_a` and `keep_b` [1] say how many are kept for each row of
 * a and of b. Outputs, in ascending order of distance and the lower index first on ties: `values_a` [n, keep_a] float32,
 * `indices_a` [n, keep_a] int32 rows of b; `values_b` [m, keep_b], `indices_b` [m, keep_b] rows of a.
 */
export function distanceGraph(): Graph {
  const graph = new Graph(EXPORT_OPSET);
  const a = graph.input('a', 'float32', ['n', 'terms']);
  const b = graph.input('b', 'float32', ['m', 'terms']);
  const squared = gemm(a, b, { transB: true });
  const fromA = smallest(squared, graph.input('keep_a', 'int64', [1]));
  const fromB = smallest(matrixTranspose(squared), graph.input('keep_b', 'int64', [1]));
  graph.output('values_a', fromA.values);
  graph.output('indices_a', cast(fromA.indices, 'int32'));
  graph.output('values_b', fromB.values);
  graph.output('indices_b', cast(fromB.indices, 'int32'));
  return graph;
}
