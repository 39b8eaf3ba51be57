import { elementTypeBytes } from './elementTypes.js';
import { writtenNodes } from './encode.js';
import type { Graph, Node, Value } from './graph.js';
import { valueElements } from './graph.js';
import { operators } from './operators.js';

/** How much memory a graph's values take while it runs: a walk over the nodes in the order of ONNX Runtime. */

export interface PeakMemory {
  /** Most bytes that computed values take at one time, without inputs, outputs and constants. */
  readonly peakBytes: number;
  /** Name of the node at which they do. */
  readonly node: string;
  /** Bytes of the constants. */
  readonly constantBytes: number;
}

function bytesOf(value: Value): number {
  return valueElements(value) * elementTypeBytes(value.dtype);
}

/**
 * Bytes that the nodes of a graph write, by operator: elementwise operators and copies take about the time of writing
 * them. Views write nothing; nodes that no output depends on are not run.
 * @throws GraphError for a value whose shape is not static.
 */
export function writtenBytes(graph: Graph): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { operator, outputs } of writtenNodes(graph)) {
    if (operators[operator].memory === 'view') continue;
    const bytes = outputs.reduce((sum, output) => sum + bytesOf(output), 0);
    sums.set(operator, (sums.get(operator) ?? 0) + bytes);
  }
  return sums;
}

/**
 * The order in which ONNX Runtime's sequential executor takes nodes (GraphViewer's default): depth first from the nodes
 * that feed no other one, the last declared first, inputs of later nodes before those of earlier ones.
 */
function executionOrder(graph: Graph): Node[] {
  const index = new Map(graph.nodes.map((node, i) => [node, i]));
  const sources = (node: Node) => {
    const nodes = new Set(node.inputs.flatMap((input) => (input?.node === undefined ? [] : [input.node])));
    return [...nodes].sort((a, b) => index.get(a)! - index.get(b)!);
  };
  const fed = new Set(graph.nodes.flatMap(sources));
  const stack = graph.nodes.filter((node) => !fed.has(node)).map((node) => ({ node, leave: false }));
  const visited = new Set<Node>();
  const order: Node[] = [];
  for (let entry = stack.pop(); entry !== undefined; entry = stack.pop()) {
    const { node, leave } = entry;
    if (leave) {
      order.push(node);
      continue;
    }
    if (visited.has(node)) continue;
    visited.add(node);
    stack.push({ node, leave: true });
    for (const source of sources(node)) if (!visited.has(source)) stack.push({ node: source, leave: false });
  }
  return order;
}

/**
 * Walks a graph of static shapes and adds up live values: a value from the node that computes it to the last node that
 * reads it. Values that are written into the caller's own buffers (the graph's outputs) do not count, nor does what a
 * kernel takes for itself while it runs.
 * @throws GraphError for a value whose shape is not static.
 */
export function peakMemory(graph: Graph): PeakMemory {
  const order = executionOrder(graph);
  const outputs = new Set(graph.outputs.values());
  // A view is counted as the value whose bytes it shows.
  const owners = new Map<Value, Value>();
  const ownerOf = (value: Value): Value => owners.get(value) ?? value;
  for (const node of graph.nodes) {
    const [input] = node.inputs;
    if (operators[node.operator].memory === 'view' && input?.node !== undefined)
      owners.set(node.outputs[0]!, ownerOf(input));
  }
  const lastUse = new Map<Value, number>();
  order.forEach((node, at) => {
    for (const input of node.inputs) if (input !== undefined) lastUse.set(ownerOf(input), at);
  });

  const alive = new Map<Value, number>();
  let [now, peakBytes, peakNode] = [0, 0, ''];
  order.forEach((node, at) => {
    const inner = Object.values(node.attributes).reduce<number>(
      (max, attribute) =>
        typeof attribute === 'object' && 'body' in attribute
          ? Math.max(max, peakMemory(attribute.body.graph).peakBytes)
          : max,
      0,
    );
    const ending = [...new Set(node.inputs.flatMap((input) => (input === undefined ? [] : [ownerOf(input)])))].filter(
      (value) => lastUse.get(value) === at && alive.has(value),
    );
    for (const output of node.outputs) {
      if (outputs.has(output) || owners.has(output)) continue;
      const bytes = bytesOf(output);
      const overwrites = operators[node.operator].memory === 'in-place';
      const reused = overwrites ? ending.findIndex((value) => alive.get(value) === bytes) : -1;
      if (reused >= 0) {
        now -= bytes;
        alive.delete(ending[reused]!);
        ending.splice(reused, 1);
      }
      alive.set(output, bytes);
      now += bytes;
    }
    if (now + inner > peakBytes) [peakBytes, peakNode] = [now + inner, node.name];
    for (const value of ending) {
      now -= alive.get(value)!;
      alive.delete(value);
    }
    // A value that nothing reads is freed immediately.
    for (const output of node.outputs) {
      if (alive.has(output) && !lastUse.has(output)) {
        now -= alive.get(output)!;
        alive.delete(output);
      }
    }
  });
  const constantBytes = graph.constants.reduce((sum, value) => sum + bytesOf(value), 0);
  return { peakBytes, node: peakNode, constantBytes };
}
