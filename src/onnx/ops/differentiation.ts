import type { Value } from '../graph.js';
import { identity } from './elementwise.js';

/** Information of a graph for `gradients` in addition to the rules of its operators. */

/**
 * Declares y's derivative with respect to x, where it is cheaper than the rules of the nodes between them: `gradients`
 * takes it and skips those nodes. What y depends on otherwise than through such an x gets no gradient from it.
 * @param pull from the gradient with respect to y to the gradient with respect to x, of the shape of x.
 */
export function differentiateBy(y: Value, x: Value, pull: (gy: Value) => Value): Value {
  const { graph } = x;
  const { pullbacks, productType } = graph;
  // A gradient is emitted later, and is computed in the precision of what it is the gradient of.
  const alike = (gy: Value) => graph.productsIn(productType, () => pull(gy));
  pullbacks.set(y, [...(pullbacks.get(y) ?? []), { x, pull: alike }]);
  return y;
}

/** The same value, through which no gradient flows. */
export function stopGradient(x: Value): Value {
  const detached = identity(x);
  x.graph.detached.add(detached);
  return detached;
}
