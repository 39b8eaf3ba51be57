import { tensor } from '../tensor/tensor.js';
import type { Value } from './graph.js';
import { isFloat } from './operators.js';
import { add, cast, widened } from './ops/elementwise.js';
import { gradientRules } from './rules/table.js';
import { formatShape, GraphError } from './shapes.js';
import { unbroadcast } from './unbroadcast.js';

/**
 * Reverse-mode differentiation: gradients of a scalar with respect to values of its graph, emitted into the same graph.
 *
 * @param loss a value of shape [].
 * @param parameters inputs or intermediate values; the result has their order and shapes.
 * @throws GraphError for a loss that is not a scalar, an operator without a gradient rule on the way, or a parameter
 *   that the loss does not depend on.
 */
export function gradients(loss: Value, parameters: readonly Value[]): Value[] {
  if (loss.shape.length !== 0)
    throw new GraphError(`gradients: the loss must be a scalar, got ${formatShape(loss.shape)}`);
  const { graph } = loss;
  const active = dependents(loss, parameters);
  const wanted = new Set(parameters);
  const one =
    loss.dtype === 'float64' ? tensor('float64', [], Float64Array.of(1)) : tensor('float32', [], Float32Array.of(1));
  const accumulated = new Map<Value, Value>([[loss, graph.constant(one)]]);

  const accumulate = (value: Value, gradient: Value) => {
    const sum = accumulated.get(value);
    accumulated.set(
      value,
      sum === undefined ? gradient : graph.scope('gradient/sum', () => add(widened(sum), widened(gradient))),
    );
  };

  // Nodes are in topological order: in reverse, every use of a value comes before the node that computes it.
  for (const node of [...graph.nodes].reverse()) {
    const output = node.outputs[0];
    const sum = output === undefined ? undefined : accumulated.get(output);
    if (sum === undefined || !active.has(output!)) continue;
    // A conversion to 16 bits passes on the whole precision of a sum.
    const gy = node.operator === 'Cast' ? sum : cast(sum, output!.dtype);
    const own = graph.pullbacks.get(output!);
    if (own !== undefined) {
      graph.scope(`gradient/${node.name}`, () => {
        for (const { x, pull } of own) if (active.has(x)) accumulate(x, pull(gy));
      });
      continue;
    }
    const rule = gradientRules[node.operator];
    if (rule === 'unsupported')
      throw new GraphError(`no gradient rule for operator ${node.operator} (node "${node.name}")`);
    if (rule === 'none') continue;
    const x = node.inputs as readonly Value[];
    const gx = graph.scope(`gradient/${node.name}`, () =>
      rule({ node, x, y: node.outputs, gy }).map((build, i) => {
        const input = x[i];
        if (build === undefined || input === undefined || !active.has(input)) return undefined;
        return unbroadcast(build(), input);
      }),
    );
    gx.forEach((gradient, i) => {
      if (gradient !== undefined) accumulate(x[i]!, gradient);
    });
    if (!wanted.has(output!)) accumulated.delete(output!);
  }
  return parameters.map((parameter) => {
    const gradient = accumulated.get(parameter);
    if (gradient === undefined) throw new GraphError(`gradients: the loss does not depend on "${parameter.name}"`);
    return gradient;
  });
}

/** Values through which a gradient can flow from the loss to a parameter: floats computed from one, not detached. */
function dependents(loss: Value, parameters: readonly Value[]): Set<Value> {
  const { graph } = loss;
  const active = new Set<Value>(parameters);
  for (const node of graph.nodes) {
    if (gradientRules[node.operator] === 'none') continue;
    if (!node.inputs.some((input) => input !== undefined && active.has(input))) continue;
    for (const output of node.outputs) {
      if (isFloat(output.dtype) && !graph.detached.has(output)) active.add(output);
    }
  }
  return active;
}
