import { tensor } from '../../tensor/tensor.js';
import type { Value } from '../graph.js';
import { differentiateBy } from './differentiation.js';
import { identity, mul } from './elementwise.js';

/**
 * The sum of x over all ranks, where every rank runs the same graph on photographs of its own. ONNX has no such operator: the graph
 * is split there (../split.ts), and the sum is taken between the parts.
 *
 * The loss is a sum over ranks too. So the gradient with respect to x is the sum of the gradients with respect to y over all ranks.
 */
export function sumAcrossRanks(x: Value): Value {
  const y = identity(x);
  x.graph.exchanged.add(y);
  return differentiateBy(y, x, sumAcrossRanks);
}

/**
 * The rows x [1, n] of all ranks, in rank order: [size, n], with exactly the bits that each rank has. Every rank puts its row among zeros,
 * and the sum puts them together.
 * @param rank this process among `size`
 */
export function gatherAcrossRanks(x: Value, { rank, size }: { readonly rank: number; readonly size: number }): Value {
  const own = Float32Array.from({ length: size }, (_, i) => (i === rank ? 1 : 0));
  return sumAcrossRanks(mul(x, x.graph.constant(tensor('float32', [size, 1], own))));
}
