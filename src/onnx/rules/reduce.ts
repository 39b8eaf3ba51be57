import type { Value } from '../graph.js';
import { constantIntegers, valueElements } from '../graph.js';
import { exp, mul, sub } from '../ops/elementwise.js';
import { reduceSum } from '../ops/reduce.js';
import { expand, reshape } from '../ops/shape.js';
import { normaliseAxis, staticShape } from '../shapes.js';
import type { FamilyGradients, RuleContext } from './rule.js';

/** The gradient of a reduction repeated along the axes that were reduced. */
function spread({ node, x: [x], gy }: RuleContext, scaled: (gradient: Value) => Value): Value {
  const shape = staticShape(x!.shape, node.operator);
  const axesInput = node.inputs[1];
  const axes = axesInput === undefined ? (node.attributes['axes'] as readonly number[]) : constantIntegers(axesInput);
  const reduced = new Set(axes.map((axis) => normaliseAxis(node.operator, axis, shape)));
  const kept = reshape(
    gy,
    shape.map((dim, i) => (reduced.has(i) ? 1 : dim)),
  );
  return expand(scaled(kept), shape);
}

export const reduceRules = {
  // d sum(x) = sum(dx)
  ReduceSum: (context) => [() => spread(context, (gradient) => gradient)],
  // d mean(x) = sum(dx) / n; scaled before it is repeated
  ReduceMean: (context) => {
    const share = valueElements(context.y[0]!) / valueElements(context.x[0]!);
    return [() => spread(context, (gradient) => mul(gradient, share))];
  },
  // d logsoftmax(x) = dx - sum(softmax(x) dx)
  LogSoftmax: ({ y: [y], gy }) => [() => sub(gy, mul(exp(y!), reduceSum(gy, [-1], { keepDims: true })))],
  ArgMin: 'none',
} satisfies FamilyGradients;
