import type { Node, Value } from '../../onnx/graph.js';
import { conv } from '../../onnx/ops/convolution.js';
import { add } from '../../onnx/ops/elementwise.js';
import { matmul } from '../../onnx/ops/linear.js';
import { elementCount, tensor } from '../../tensor/tensor.js';
import { type Affine, vectorConstant } from './channelVector.js';

/** A MatMul, Gemm or Conv with a constant weight: affine maps are folded into it, and it is quantised. */
export interface WeightedNode {
  readonly kind: 'MatMul' | 'Gemm' | 'Conv';
  readonly input: Value;
  /** [I, O] of a MatMul or Gemm, [O, I / groups, k, k] of a Conv. */
  readonly weight: Float32Array;
  readonly weightShape: readonly number[];
  /** [O]; a MatMul has none of its own. */
  readonly bias?: Float32Array;
  readonly outputs: number;
  readonly groups: number;
  readonly padded: boolean;
}

/** Reads a node as a weighted one; undefined for every other node. */
export function weightedNode(node: Node): WeightedNode | undefined {
  const [input, weight, bias] = node.inputs;
  if (input === undefined || weight?.constant?.dtype !== 'float32') return undefined;
  const weightShape = weight.shape as readonly number[];
  const data = weight.constant.data as Float32Array;
  if (bias !== undefined && bias.constant === undefined) return undefined;
  const held = { input, weight: data, weightShape, ...(bias && { bias: bias.constant!.data as Float32Array }) };
  if (node.operator === 'MatMul' || node.operator === 'Gemm') {
    // A weight of one column is a sum over the channels (of a mean), not a layer.
    if (weightShape.length !== 2 || weightShape[1] === 1 || node.attributes['transB'] === 1) return undefined;
    return { ...held, kind: node.operator, outputs: weightShape[1]!, groups: 1, padded: false };
  }
  if (node.operator !== 'Conv') return undefined;
  return {
    ...held,
    kind: 'Conv',
    outputs: weightShape[0]!,
    groups: node.attributes['group'] as number,
    padded: (node.attributes['pads'] as readonly number[]).some((pad) => pad !== 0),
  };
}

/** The weighted node applied to scale * x + shift instead of x: the same map of x with other weights. */
export function afterAffine(node: WeightedNode, { scale, shift }: Affine): WeightedNode {
  const { weight, weightShape, outputs } = node;
  const folded = new Float32Array(weight.length);
  const bias = Float64Array.from(node.bias ?? new Float32Array(outputs));
  const inputs = node.kind === 'Conv' ? weightShape[1]! : weightShape[0]!;
  const taps = node.kind !== 'Conv' ? 1 : elementCount(weightShape.slice(2));
  for (let input = 0; input < inputs; input++) {
    for (let output = 0; output < outputs; output++) {
      for (let tap = 0; tap < taps; tap++) {
        const at = node.kind === 'Conv' ? (output * inputs + input) * taps + tap : input * outputs + output;
        folded[at] = weight[at]! * scale[input]!;
        bias[output]! += weight[at]! * shift[input]!;
      }
    }
  }
  return { ...node, weight: folded, bias: Float32Array.from(bias) };
}

/** Output channel of a weight's element by its index. */
export function outputIndex({ kind, weight, outputs }: WeightedNode): (at: number) => number {
  const perOutput = weight.length / outputs;
  return kind === 'Conv' ? (at) => Math.floor(at / perOutput) : (at) => at % outputs;
}

/** scale * y + shift of the weighted node's output y as one weighted node. */
export function beforeAffine(node: WeightedNode, { scale, shift }: Affine): WeightedNode {
  const { weight } = node;
  const outputOf = outputIndex(node);
  return {
    ...node,
    weight: weight.map((value, at) => value * scale[outputOf(at)]!),
    bias: shift.map((value, i) => value + (node.bias?.[i] ?? 0) * scale[i]!),
  };
}

/** Emits a MatMul or Conv on an input of the new graph; a MatMul's bias becomes an Add. */
export function emitWeighted(original: Node, node: WeightedNode, input: Value): Value {
  const { graph } = input;
  const weight = graph.constant(tensor('float32', node.weightShape, node.weight));
  const bias = node.bias && vectorConstant(graph, node.bias);
  if (node.kind === 'MatMul') return bias === undefined ? matmul(input, weight) : add(matmul(input, weight), bias);
  return conv(input, weight, bias, convOptions(original));
}

/** Stride, padding, dilation and groups of a Conv that `conv` emitted: the same on both axes. */
export function convOptions({ attributes }: Node) {
  const first = (name: string) => (attributes[name] as readonly number[])[0]!;
  return {
    stride: first('strides'),
    padding: first('pads'),
    dilation: first('dilations'),
    groups: attributes['group'] as number,
  };
}
