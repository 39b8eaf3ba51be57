import onnxProto from 'onnx-proto';
import { type DType, tensorBytes } from '../tensor/tensor.js';
import type { AttributeValue, Graph, Node, Value } from './graph.js';
import type { Shape } from './shapes.js';

/** Graphs as ONNX ModelProto bytes. */

const { onnx } = onnxProto;
const { AttributeType } = onnx.AttributeProto;

/** IR version 8 goes with opset 17, the pair that ONNX Runtime 1.17 and later read; opset 20 asks for 9. */
const irVersion = (opset: number) => (opset <= 17 ? 8 : 9);

const typeCodes: Record<DType, number> = {
  float32: onnx.TensorProto.DataType.FLOAT,
  float64: onnx.TensorProto.DataType.DOUBLE,
  float16: onnx.TensorProto.DataType.FLOAT16,
  int32: onnx.TensorProto.DataType.INT32,
  int64: onnx.TensorProto.DataType.INT64,
  uint8: onnx.TensorProto.DataType.UINT8,
  bool: onnx.TensorProto.DataType.BOOL,
};

function encodeAttribute([name, value]: [string, AttributeValue]): onnxProto.onnx.IAttributeProto {
  if (typeof value === 'number') return { name, type: AttributeType.INT, i: value };
  if (typeof value === 'string') return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if (Array.isArray(value)) return { name, type: AttributeType.INTS, ints: [...value] };
  return { name, type: AttributeType.FLOAT, f: (value as { float: number }).float };
}

function encodeValueInfo(name: string, dtype: DType, shape: Shape): onnxProto.onnx.IValueInfoProto {
  const dim = shape.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType: typeCodes[dtype], shape: { dim } } } };
}

function encodeConstant({ name, constant }: Value): onnxProto.onnx.ITensorProto {
  const { dtype, shape } = constant!;
  return { name, dataType: typeCodes[dtype], dims: [...shape], rawData: tensorBytes(constant!) };
}

/** The nodes and constants that the outputs depend on. */
function reachable(graph: Graph): { nodes: Node[]; constants: Value[] } {
  const used = new Set<Value>(graph.outputs.values());
  const nodes: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((output) => used.has(output))) continue;
    nodes.push(node);
    for (const input of node.inputs) if (input !== undefined) used.add(input);
  }
  return { nodes: nodes.reverse(), constants: graph.constants.filter((constant) => used.has(constant)) };
}

/**
 * Encodes a graph as a ModelProto; nodes that no output depends on are left out.
 * @throws RangeError when it would pass protobuf's limit of 2 GiB.
 */
export function encodeModel(graph: Graph, { name = 'vicregl' }: { readonly name?: string } = {}): Uint8Array {
  const { nodes, constants } = reachable(graph);
  const weightBytes = constants.reduce((sum, { constant }) => sum + constant!.data.byteLength, 0);
  if (weightBytes >= 2 ** 31) {
    throw new RangeError(`constants of ${weightBytes} bytes do not fit into one ONNX file (2 GiB)`);
  }
  // A value that a node computes takes the name of its (first) output; a second output of it, or an input that is an
  // output too, is copied by an Identity.
  const outputNames = new Map<Value, string>();
  for (const [output, value] of graph.outputs) {
    if (value.node !== undefined && !outputNames.has(value)) outputNames.set(value, output);
  }
  const nameOf = (value: Value) => outputNames.get(value) ?? value.name;
  const copies = [...graph.outputs].filter(([output, value]) => nameOf(value) !== output);
  const model: onnxProto.onnx.IModelProto = {
    irVersion: irVersion(graph.opset),
    producerName: 'vicregl',
    opsetImport: [{ domain: '', version: graph.opset }],
    graph: {
      name,
      input: graph.inputs.map((input) => encodeValueInfo(input.name, input.dtype, input.shape)),
      output: [...graph.outputs].map(([output, { dtype, shape }]) =>
        encodeValueInfo(output, dtype, graph.declaredShapes.get(output) ?? shape),
      ),
      initializer: constants.map(encodeConstant),
      node: [
        ...nodes.map((node) => ({
          opType: node.operator,
          name: node.name,
          input: node.inputs.map((input) => (input === undefined ? '' : nameOf(input))),
          output: node.outputs.map(nameOf),
          attribute: Object.entries(node.attributes).map(encodeAttribute),
        })),
        ...copies.map(([output, value]) => ({
          opType: 'Identity',
          name: `output/${output}`,
          input: [nameOf(value)],
          output: [output],
        })),
      ],
    },
  };
  return onnx.ModelProto.encode(model).finish();
}
