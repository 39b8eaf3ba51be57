import type { Graph, Node, Value } from '../../onnx/graph.js';
import { conv } from '../../onnx/ops/convolution.js';
import { gemm } from '../../onnx/ops/linear.js';
import { dequantizeLinear, quantizeLinear } from '../../onnx/ops/quantise.js';
import { rewriteGraph } from '../../onnx/rewrite.js';
import { type DType, type Tensor, tensor } from '../../tensor/tensor.js';
import { type ActivationScale, quantiseWeight } from './integers.js';
import type { Placement } from './placement.js';
import { convOptions, outputIndex, type WeightedNode, weightedNode } from './weightedNode.js';

function integerVector<D extends DType & ('int8' | 'int32')>(dtype: D, data: Tensor<D>['data']): Tensor<D> {
  return tensor(dtype, [data.length], data);
}

/** The int8 weight as a float value of the graph, [O] scales along its output axis. */
function weightValue(graph: Graph, node: WeightedNode, inputScale: number) {
  const { kind, weight, weightShape, bias, outputs } = node;
  const { integers, scales } = quantiseWeight(weight, outputs, outputIndex(node), { bias, inputScale });
  const value = dequantizeLinear(
    graph.constant(tensor('int8', weightShape, integers)),
    graph.constant(tensor('float32', [outputs], scales)),
    graph.constant(integerVector('int8', new Int8Array(outputs))),
    kind === 'Conv' ? 0 : 1,
  );
  return { value, scales };
}

/** A bias as int32, in the scale of the accumulator: that of the input times that of the weight. */
function biasValue(graph: Graph, bias: Float32Array, inputScale: number, weightScales: Float32Array): Value {
  const scales = weightScales.map((scale) => Math.fround(scale * inputScale));
  const integers = Int32Array.from(bias, (value, i) =>
    Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.round(value / scales[i]!))),
  );
  return dequantizeLinear(
    graph.constant(integerVector('int32', integers)),
    graph.constant(tensor('float32', [bias.length], scales)),
    graph.constant(integerVector('int32', new Int32Array(bias.length))),
    0,
  );
}

/**
 * The graph with its activations as uint8 and its weights as int8, in QDQ form: every quantised value passes a
 * QuantizeLinear and, for each reader, a DequantizeLinear, which runtimes fuse with the operators between.
 * @param scaleOf scale of each activation of the placement.
 */
export function insertIntegers(
  source: Graph,
  { activations, weighted }: Placement,
  scaleOf: (activation: Value) => ActivationScale,
): Graph {
  /** uint8 values of the new graph with scale and zero point, by the old graph's value. */
  const quantised = new Map<Value, readonly [integers: Value, scale: Value, zeroPoint: Value]>();
  return rewriteGraph(source, (node, { graph, of }) => {
    const read = (value: Value): Value => {
      if (!activations.has(value)) return of(value);
      let made = quantised.get(value);
      if (made === undefined) {
        const { scale, zeroPoint } = scaleOf(value);
        const scaleValue = graph.constant(tensor('float32', [], Float32Array.of(scale)));
        const zeroValue = graph.constant(tensor('uint8', [], Uint8Array.of(zeroPoint)));
        made = [quantizeLinear(of(value), scaleValue, zeroValue), scaleValue, zeroValue];
        quantised.set(value, made);
      }
      return dequantizeLinear(...made);
    };
    if (weighted.has(node)) return [integerProduct(node, weightedNode(node)!, read, scaleOf)];
    if (!node.inputs.some((input) => input !== undefined && activations.has(input))) return undefined;
    const inputs = node.inputs.map((input) => (input === undefined ? undefined : read(input)));
    return graph.emit(node.operator, inputs, node.outputs, node.attributes);
  });
}

function integerProduct(
  node: Node,
  weighted: WeightedNode,
  read: (value: Value) => Value,
  scaleOf: (activation: Value) => ActivationScale,
): Value {
  const { kind, bias, input } = weighted;
  const x = read(input);
  const { scale: inputScale } = scaleOf(input);
  const { value: weight, scales } = weightValue(x.graph, weighted, inputScale);
  const integerBias = bias && biasValue(x.graph, bias, inputScale, scales);
  if (kind === 'Conv') return conv(x, weight, integerBias, convOptions(node));
  return gemm(x, weight, integerBias && { bias: integerBias });
}
