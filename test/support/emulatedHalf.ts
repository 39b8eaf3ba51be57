import { isHalf } from '../../src/onnx/elementTypes.js';
import type { Graph, Value } from '../../src/onnx/graph.js';
import { operators } from '../../src/onnx/operators.js';
import { cast } from '../../src/onnx/ops/elementwise.js';
import { rewriteGraph } from '../../src/onnx/rewrite.js';

/**
 * The graph as a GPU would compute it, for the CPU: values of 16 bits are float32 values that are rounded where a conversion or a product
 * gives them, and products add up in float32, as tensor cores do. The CPU provider has no bfloat16 kernels at all.
 */
export function emulateHalf(source: Graph): Graph {
  const rounded = new Map<Value, Value>();
  return rewriteGraph(source, (node, { graph, of }) => {
    const [first] = node.inputs as [Value];
    const wide = (value: Value) => rounded.get(value) ?? of(value);
    if (node.operator === 'Cast' && isHalf(first.dtype)) return [cast(wide(first), node.outputs[0]!.dtype)];
    if (!node.outputs.some(({ dtype }) => isHalf(dtype))) return undefined;
    const inputs = node.inputs.map((input) => input && wide(input));
    const { dtype } = node.outputs[0]!;
    const results =
      node.operator === 'Cast'
        ? [wide(first)]
        : graph.emit(
            node.operator,
            inputs,
            node.outputs.map(({ shape }) => ({ dtype: 'float32', shape })),
            node.attributes,
          );
    const isRounded = node.operator === 'Cast' || operators[node.operator].halfProducts.length > 0;
    const values = isRounded ? results.map((result) => cast(cast(result, dtype), 'float32')) : results;
    for (const [i, value] of values.entries()) rounded.set(node.outputs[i]!, value);
    return values;
  });
}
