import onnxProto from 'onnx-proto';
import { tensorBytes } from '../tensor/tensor.js';
import { type ElementType, ONNX_TYPE_CODES } from './elementTypes.js';
import type { AttributeValue, Body, Graph, Node, Value } from './graph.js';
import { operators } from './operators.js';
import { GraphError, type Shape } from './shapes.js';

/** Graphs as ONNX ModelProto bytes. */

const { onnx } = onnxProto;
const { AttributeType } = onnx.AttributeProto;

/** IR version 8 goes with opset 17, the pair that ONNX Runtime 1.17 and later read; opset 20 asks for 9. */
const irVersion = (opset: number) => (opset <= 17 ? 8 : 9);

function encodeValueInfo(name: string, dtype: ElementType, shape: Shape): onnxProto.onnx.IValueInfoProto {
  const dim = shape.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType: ONNX_TYPE_CODES[dtype], shape: { dim } } } };
}

/** Elements of constants and parameters in a separate file next to the graph's. */
export interface ExternalData {
  /** Name of the file, in the graph's folder. */
  readonly location: string;
  /** Position of the elements of a constant or of a parameter input; undefined for what stays in the graph. */
  place(value: Value): { readonly offset: number; readonly length: number } | undefined;
}

function encodeInitializer(
  name: string,
  value: Value,
  external: ExternalData | undefined,
): onnxProto.onnx.ITensorProto {
  const { dtype, shape, constant } = value;
  const about = { name, dataType: ONNX_TYPE_CODES[dtype], dims: shape as number[] };
  const place = external?.place(value);
  if (place === undefined) return { ...about, rawData: tensorBytes(constant!) };
  return {
    ...about,
    dataLocation: onnx.TensorProto.DataLocation.EXTERNAL,
    externalData: Object.entries({ location: external!.location, ...place }).map(([key, entry]) => ({
      key,
      value: String(entry),
    })),
  };
}

/** The outputs that a node is written with: without the optional ones behind the last that is used. */
function writtenOutputs(node: Node, used: ReadonlySet<Value>): readonly Value[] {
  if (!operators[node.operator].optionalOutputs) return node.outputs;
  return node.outputs.slice(0, 1 + node.outputs.findLastIndex((output, i) => i === 0 || used.has(output)));
}

/** What the outputs depend on. */
interface Reachable {
  readonly nodes: readonly Node[];
  readonly constants: readonly Value[];
  /** Every value that is read or an output. */
  readonly used: ReadonlySet<Value>;
}

/** What the given outputs depend on. */
export function reachable(graph: Graph, outputs: Iterable<Value>): Reachable {
  const used = new Set<Value>(outputs);
  const nodes: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((output) => used.has(output))) continue;
    nodes.push(node);
    for (const input of node.inputs) if (input !== undefined) used.add(input);
  }
  return { nodes: nodes.reverse(), constants: graph.constants.filter((constant) => used.has(constant)), used };
}

function encodeAttribute(name: string, value: AttributeValue, prefix: string): onnxProto.onnx.IAttributeProto {
  if (typeof value === 'number') return { name, type: AttributeType.INT, i: value };
  if (typeof value === 'string') return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if ('float' in value) return { name, type: AttributeType.FLOAT, f: value.float };
  if ('body' in value) return { name, type: AttributeType.GRAPH, g: encodeBody(value.body, `${prefix}${name}/`) };
  return { name, type: AttributeType.INTS, ints: [...value] };
}

/** What of a graph is encoded, and under which names. */
interface GraphNaming {
  readonly name: string;
  /** Prefix of every name of a nested graph: in ONNX an inner value must not shadow an outer one. */
  readonly prefix: string;
  readonly inputs: readonly Value[];
  readonly outputs: ReadonlyMap<string, Value>;
  readonly external?: ExternalData | undefined;
}

function encodeGraph(
  graph: Graph,
  { name, prefix, inputs, outputs, external }: GraphNaming,
): onnxProto.onnx.IGraphProto {
  const { nodes, constants, used } = reachable(graph, outputs.values());
  for (const value of graph.exchanged) {
    if (used.has(value)) throw new GraphError(`"${value.name}" is summed over ranks: split the graph (split.ts) first`);
  }
  // A value that a node computes takes the name of its (first) output; a second output of it, or an input that is an
  // output too, is copied by an Identity.
  const outputNames = new Map<Value, string>();
  for (const [output, value] of outputs) {
    if (value.node !== undefined && !outputNames.has(value)) outputNames.set(value, output);
  }
  const nameOf = (value: Value) => `${prefix}${outputNames.get(value) ?? value.name}`;
  const copies = [...outputs].filter(([output, value]) => nameOf(value) !== `${prefix}${output}`);
  return {
    name,
    input: inputs
      .filter((input) => external?.place(input) === undefined)
      .map((input) => encodeValueInfo(nameOf(input), input.dtype, input.shape)),
    output: [...outputs].map(([output, { dtype, shape }]) =>
      encodeValueInfo(`${prefix}${output}`, dtype, graph.declaredShapes.get(output) ?? shape),
    ),
    initializer: [...inputs.filter((input) => used.has(input) && external?.place(input)), ...constants].map((value) =>
      encodeInitializer(nameOf(value), value, external),
    ),
    node: [
      ...nodes.map((node) => ({
        opType: node.operator,
        name: `${prefix}${node.name}`,
        input: node.inputs.map((input) => (input === undefined ? '' : nameOf(input))),
        output: writtenOutputs(node, used).map(nameOf),
        attribute: Object.entries(node.attributes).map(([key, value]) =>
          encodeAttribute(key, value, `${prefix}${node.name}/`),
        ),
      })),
      ...copies.map(([output, value]) => ({
        opType: 'Identity',
        name: `${prefix}output/${output}`,
        input: [nameOf(value)],
        output: [`${prefix}${output}`],
      })),
    ],
  };
}

function encodeBody({ graph, inputs, outputs }: Body, prefix: string): onnxProto.onnx.IGraphProto {
  const byName = new Map(graph.inputs.map((input) => [input.name, input]));
  return encodeGraph(graph, {
    name: 'body',
    prefix,
    inputs: inputs.map((name) => byName.get(name)!),
    outputs: new Map(outputs.map((name) => [name, graph.outputs.get(name)!])),
  });
}

/** The nodes that outputs depend on: those that are encoded. */
export function writtenNodes(graph: Graph): readonly Node[] {
  return reachable(graph, graph.outputs.values()).nodes;
}

/** The constants and inputs that outputs depend on. */
export function readValues(graph: Graph): readonly Value[] {
  const { constants, used } = reachable(graph, graph.outputs.values());
  return [...graph.inputs.filter((input) => used.has(input)), ...constants];
}

/** Bytes of all constants in the graph, those of nested graphs included. */
function constantBytes(graph: Graph, outputs: Iterable<Value>, external?: ExternalData): number {
  const { nodes, constants: all } = reachable(graph, outputs);
  const constants = all.filter((constant) => external?.place(constant) === undefined);
  const nested = nodes.flatMap(({ attributes }) =>
    Object.values(attributes).flatMap((value) => (typeof value === 'object' && 'body' in value ? [value.body] : [])),
  );
  return (
    constants.reduce((sum, { constant }) => sum + constant!.data.byteLength, 0) +
    nested.reduce((sum, body) => sum + constantBytes(body.graph, body.graph.outputs.values()), 0)
  );
}

/**
 * Encodes a graph as a ModelProto; nodes that no output depends on are left out.
 * @param options.external positions of elements that are not written into the graph; inputs with a position become
 *   constants. Such a model is loaded by its path.
 * @throws RangeError when it would pass protobuf's limit of 2 GiB.
 */
export function encodeModel(
  graph: Graph,
  { name = 'vicregl', external }: { readonly name?: string; readonly external?: ExternalData } = {},
): Uint8Array {
  const weightBytes = constantBytes(graph, graph.outputs.values(), external);
  if (weightBytes >= 2 ** 31) {
    throw new RangeError(`constants of ${weightBytes} bytes do not fit into one ONNX file (2 GiB)`);
  }
  const model: onnxProto.onnx.IModelProto = {
    irVersion: irVersion(graph.opset),
    producerName: 'vicregl',
    opsetImport: [{ domain: '', version: graph.opset }],
    graph: encodeGraph(graph, { name, prefix: '', inputs: graph.inputs, outputs: graph.outputs, external }),
  };
  return onnx.ModelProto.encode(model).finish();
}
