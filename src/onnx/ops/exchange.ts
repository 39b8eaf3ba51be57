import type { Value } from '../graph.js';
import { differentiateBy } from './differentiation.js';
import { identity } from './elementwise.js';

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
