import type { Graph, Node, Value } from '../onnx/graph.js';
import { operators } from '../onnx/operators.js';
import { cast } from '../onnx/ops/elementwise.js';
import { rewriteGraph } from '../onnx/rewrite.js';
import { float32ToFloat16 } from '../tensor/float16.js';
import { tensor } from '../tensor/tensor.js';

/** Whether a node scales pixels, before the first layer: their range does not fit into float16. */
function isOfPixels(node: Node): boolean {
  if (node.operator !== 'Mul' && node.operator !== 'Add') return false;
  const data = node.inputs.find((input) => input?.constant === undefined);
  return data?.node !== undefined && (data.node.operator === 'Cast' || isOfPixels(data.node));
}

/**
 * The graph with float16 arithmetic: constants are halves, inputs and outputs keep their types, norms and reductions
 * stay float32. A provider without a kernel for halves (the CPU's for most operators) converts around it by itself.
 * @param source with its constants folded (see foldConstants): a float32 constant is read where it is used.
 */
export function halfCompute(source: Graph): Graph {
  const outputs = new Set(source.outputs.values());
  const halves = new Map<Value, Value>();
  const wholes = new Map<Value, Value>();
  return rewriteGraph(source, (node, { graph, of }) => {
    const whole = operators[node.operator].half === 'float32' || isOfPixels(node);
    const read = (value: Value): Value => {
      const cache = whole ? wholes : halves;
      let copy = cache.get(value);
      if (copy === undefined) {
        if (value.dtype !== 'float32') copy = of(value);
        else if (value.constant !== undefined && !whole) {
          copy = graph.constant(
            tensor('float16', value.constant.shape, float32ToFloat16(value.constant.data as Float32Array)),
          );
        } else copy = cast(of(value), whole ? 'float32' : 'float16');
        cache.set(value, copy);
      }
      return copy;
    };
    const inputs = node.inputs.map((input) => input && read(input));
    const types = node.outputs.map(({ dtype, shape }) => ({
      dtype: dtype === 'float32' && !whole ? ('float16' as const) : dtype,
      shape,
    }));
    const results = graph.emit(node.operator, inputs, types, node.attributes);
    return results.map((result, i) => (outputs.has(node.outputs[i]!) ? cast(result, node.outputs[i]!.dtype) : result));
  });
}
