import type { Graph, Node, Value } from '../../onnx/graph.js';
import { operators } from '../../onnx/operators.js';
import { gemm } from '../../onnx/ops/linear.js';
import { concat } from '../../onnx/ops/shape.js';
import { consumers, rewriteGraph } from '../../onnx/rewrite.js';
import { affineOf, vectorConstant } from './channelVector.js';
import { weightedNode } from './weightedNode.js';

/** Whether an operand broadcasts against [rows, C] as against [..., C]: a number, or a vector over the channels. */
const fitsRows = (operand: Value) => operand.constant !== undefined && operand.shape.length <= 1;

/** A value as rows [N, C], with a value of the old rank that has the same leading dimensions. */
interface Rows {
  readonly rows: Value;
  readonly like: Value;
}

function shapeOf(value: Value): Value {
  return value.graph.emit('Shape', [value], [{ dtype: 'int64', shape: [value.shape.length] }])[0]!;
}

function reshapeTo(x: Value, target: Value, shape: Value['shape']): Value {
  return x.graph.emit('Reshape', [x, target], [{ dtype: x.dtype, shape }])[0]!;
}

/** Rows [N, C] back in the shape [..., C]. */
function unflatten({ rows, like }: Rows, shape: Value['shape']): Value {
  const { graph } = rows;
  const channels = shape.at(-1) as number;
  if (like.shape.at(-1) === channels) return reshapeTo(rows, shapeOf(like), shape);
  const rank = shape.length;
  const leading = graph.emit(
    'Slice',
    [shapeOf(like), graph.integers([0]), graph.integers([rank - 1])],
    [{ dtype: 'int64', shape: [rank - 1] }],
  )[0]!;
  return reshapeTo(rows, concat([leading, graph.integers([channels])], 0), shape);
}

/**
 * Converts matrix products with a weight to Gemm over rows [N, C] with the bias inside; elementwise operators between them
 * stay on rows. An 8-bit Gemm adds the bias to its integer accumulator, where a MatMul needs another pass over its result,
 * and ONNX Runtime computes a GELU without a preceding bias in half the time.
 */
export function linearOnRows(source: Graph): Graph {
  const readers = consumers(source);
  const outputs = new Set(source.outputs.values());
  const flat = new Map<Value, Rows>();
  /** Additions that became the bias of a Gemm. */
  const biases = new Set<Node>();

  const biasOf = (node: Node): readonly [Node, Float32Array] | undefined => {
    const product = node.outputs[0]!;
    const [next, ...others] = readers.get(product) ?? [];
    if (next === undefined || others.length > 0 || outputs.has(product) || next.operator !== 'Add') return undefined;
    const affine = affineOf(next, product, product.shape.length - 1);
    return affine && [next, affine.shift];
  };

  return rewriteGraph(source, (node, { graph, of }) => {
    const rest = (value: Value): Value => {
      const rows = flat.get(value);
      return rows === undefined || value.shape.length === 2 ? of(value) : unflatten(rows, value.shape);
    };
    /** What a value on rows becomes in the new graph: an output has its own shape, all readers take the rows. */
    const finished = (value: Value, rows: Value): Value =>
      outputs.has(value) && value.shape.length > 2 ? unflatten(flat.get(value)!, value.shape) : rows;
    const [y] = node.outputs as readonly [Value];
    const weighted = weightedNode(node);
    if (weighted?.kind === 'MatMul') {
      const { input, weightShape } = weighted;
      const before = flat.get(input);
      const like = before?.like ?? of(input);
      const dims = weightShape[0]!;
      const x =
        before?.rows ?? (input.shape.length === 2 ? like : reshapeTo(like, graph.integers([-1, dims]), ['rows', dims]));
      const bias = biasOf(node);
      if (bias !== undefined) biases.add(bias[0]);
      const product = gemm(x, of(node.inputs[1]!), bias && { bias: vectorConstant(graph, bias[1]) });
      const result = bias?.[0].outputs[0] ?? y;
      flat.set(result, { rows: product, like });
      flat.set(y, { rows: product, like });
      return [finished(y, product)];
    }
    const inputs = node.inputs.filter((input): input is Value => input !== undefined);
    if (biases.has(node)) return [finished(y, flat.get(y)!.rows)];
    const anyFlat = inputs.find((input) => flat.has(input));
    if (anyFlat === undefined) return undefined;
    if (operators[node.operator].elementwise && inputs.every((input) => flat.has(input) || fitsRows(input))) {
      const { like, rows } = flat.get(anyFlat)!;
      const operands = node.inputs.map((input) => input && (flat.get(input)?.rows ?? of(input)));
      const type = { dtype: y.dtype, shape: [rows.shape[0]!, y.shape.at(-1)!] };
      const result = graph.emit(node.operator, operands, [type], node.attributes);
      flat.set(y, { rows: result[0]!, like });
      return [finished(y, result[0]!)];
    }
    return graph.emit(
      node.operator,
      node.inputs.map((input) => input && rest(input)),
      node.outputs,
      node.attributes,
    );
  });
}
