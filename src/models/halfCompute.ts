import { ParameterError } from '../nn/parameters.js';
import type { Graph, Node, Value } from '../onnx/graph.js';
import { operators } from '../onnx/operators.js';
import { cast } from '../onnx/ops/elementwise.js';
import { rewriteGraph } from '../onnx/rewrite.js';
import { float16Within, LARGEST_FLOAT16 } from '../tensor/float16.js';
import { tensor } from '../tensor/tensor.js';

/** Whether a node scales pixels before the first layer: their range does not fit into float16. */
function scalesPixels(node: Node): boolean {
  if (node.operator !== 'Mul' && node.operator !== 'Add') return false;
  const data = node.inputs.find((input) => input?.constant === undefined);
  return data?.node !== undefined && (data.node.operator === 'Cast' || scalesPixels(data.node));
}

/**
 * The graph with float16 arithmetic: constants are float16, inputs and outputs keep their types, norms and reductions stay
 * float32. A provider without a float16 kernel of an operator (the CPU's for most) inserts conversions by itself. On the CPU it is run
 * with `arithmeticOf`.
 * @param source with folded constants (see foldConstants): constants are converted in place.
 * @throws ParameterError for an element that float16 cannot hold, of a parameter or of what was folded into it.
 */
export function halfCompute(source: Graph): Graph {
  const outputs = new Set(source.outputs.values());
  const float16Values = new Map<Value, Value>();
  const float32Values = new Map<Value, Value>();
  return rewriteGraph(source, (node, { graph, of }) => {
    const inFloat32 = operators[node.operator].half === 'float32' || scalesPixels(node);
    const read = (value: Value): Value => {
      const cache = inFloat32 ? float32Values : float16Values;
      let copy = cache.get(value);
      if (copy === undefined) {
        if (value.dtype !== 'float32') copy = of(value);
        else if (value.constant !== undefined && !inFloat32) {
          const halves = float16Within(
            value.constant.data as Float32Array,
            (i, element) =>
              new ParameterError(
                `compute: element ${i} of ${value.name}, read by ${node.operator}, is ${element}, and float16 reaches ` +
                  `${LARGEST_FLOAT16}; use float32`,
              ),
          );
          copy = graph.constant(tensor('float16', value.constant.shape, halves));
        } else copy = cast(of(value), inFloat32 ? 'float32' : 'float16');
        cache.set(value, copy);
      }
      return copy;
    };
    const inputs = node.inputs.map((input) => input && read(input));
    const types = node.outputs.map(({ dtype, shape }) => ({
      dtype: dtype === 'float32' && !inFloat32 ? ('float16' as const) : dtype,
      shape,
    }));
    const results = graph.emit(node.operator, inputs, types, node.attributes);
    return results.map((result, i) => (outputs.has(node.outputs[i]!) ? cast(result, node.outputs[i]!.dtype) : result));
  });
}
