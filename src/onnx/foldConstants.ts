import type { Tensor } from '../tensor/tensor.js';
import { encodeModel } from './encode.js';
import { Graph, type Node, type Value } from './graph.js';
import { rewriteGraph } from './rewrite.js';
import { createSession, runSession } from './session.js';

/** The nodes that a value is computed by, in order. */
function ancestors(value: Value): readonly Node[] {
  const found = new Set<Node>();
  const visit = (at: Value): void => {
    if (at.node === undefined || found.has(at.node)) return;
    for (const input of at.node.inputs) if (input !== undefined) visit(input);
    found.add(at.node);
  };
  visit(value);
  return [...found];
}

/** A value that depends on constants alone, computed by ONNX Runtime. */
async function evaluateConstant(value: Value): Promise<Tensor> {
  const graph = new Graph(value.graph.opset);
  const copies = new Map<Value, Value>();
  const copy = (input: Value): Value => {
    const known = copies.get(input) ?? graph.constant(input.constant!);
    copies.set(input, known);
    return known;
  };
  for (const node of ancestors(value)) {
    const inputs = node.inputs.map((input) => (input === undefined ? undefined : copy(input)));
    const outputs = graph.emit(node.operator, inputs, node.outputs, node.attributes);
    outputs.forEach((output, i) => {
      copies.set(node.outputs[i]!, output);
    });
  }
  graph.output('value', copies.get(value)!);
  const session = await createSession(encodeModel(graph), { threads: 1 });
  try {
    return (await runSession(session, {})).get('value')!;
  } finally {
    await session.release();
  }
}

/**
 * Computes what depends on constants alone, one value at a time: transposed weights, running statistics as scale and
 * shift, float16 converted to float32. The returned graph holds the results as constants.
 */
export async function foldConstants(source: Graph): Promise<Graph> {
  const constant = new Set<Value>(source.constants);
  for (const node of source.nodes) {
    if (node.inputs.every((input) => input === undefined || constant.has(input)))
      for (const output of node.outputs) constant.add(output);
  }
  const read = new Set<Value>(source.outputs.values());
  for (const node of source.nodes) {
    if (node.outputs.some((output) => constant.has(output))) continue;
    for (const input of node.inputs) if (input !== undefined) read.add(input);
  }
  const results = new Map<Value, Tensor>();
  for (const value of read) {
    if (constant.has(value) && value.node !== undefined) results.set(value, await evaluateConstant(value));
  }
  return rewriteGraph(source, (node, { graph }) => {
    if (!node.outputs.every((output) => constant.has(output))) return undefined;
    // An output that nothing reads has no result.
    return node.outputs.map((output) => {
      const result = results.get(output);
      return result === undefined ? undefined : graph.constant(result);
    });
  });
}
