import { Graph, type Node, type Value } from './graph.js';

/** Copies of graphs in which some nodes are replaced by others. */

/** What a replacement may ask for and how it emits. */
export interface Rewriting {
  /** The graph under construction. */
  readonly graph: Graph;
  /** The new graph's value of one of the old graph's: the copy, or what replaced it. */
  of(value: Value): Value;
}

/**
 * Gives the new graph's values for a node's outputs (fewer than the node has where the rest is never read), or undefined
 * to have the node copied.
 */
export type Replacement = (node: Node, rewriting: Rewriting) => readonly (Value | undefined)[] | undefined;

/** Emits under the scope that a node of the old graph had. */
function inScopeOf<T>(node: Node, graph: Graph, build: () => T): T {
  const end = node.name.lastIndexOf('/');
  return end < 0 ? build() : graph.scope(node.name.slice(0, end), build);
}

/** Generated names; the copy generates its own. */
const GIVEN_NAME = /(^|\/)constant_\d+$/;

/** Nodes that read each value; a graph's outputs are not counted. */
export function consumers(graph: Graph): ReadonlyMap<Value, readonly Node[]> {
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    for (const input of new Set(node.inputs)) {
      if (input === undefined) continue;
      const known = readers.get(input);
      if (known === undefined) readers.set(input, [node]);
      else known.push(node);
    }
  }
  return readers;
}

/**
 * Copies a graph, node by node in order, with the replacements that `replace` gives. Inputs and outputs keep names and
 * shapes; constants that nothing reads any more are left behind, and so is every node that no output depends on.
 * @param outputs of the copy, as values of the source; the source's own by default.
 */
export function rewriteGraph(
  source: Graph,
  replace: Replacement,
  outputs: ReadonlyMap<string, Value> = source.outputs,
): Graph {
  const graph = new Graph(source.opset);
  const values = new Map<Value, Value>();
  for (const input of source.inputs) values.set(input, graph.input(input.name, input.dtype, input.shape));
  const of = (value: Value): Value => {
    let copy = values.get(value);
    if (copy === undefined && value.constant !== undefined) {
      copy = GIVEN_NAME.test(value.name) ? graph.constant(value.constant) : graph.constant(value.constant, value.name);
      values.set(value, copy);
    }
    if (copy === undefined) throw new Error(`"${value.name}" is read before it is computed`);
    return copy;
  };
  const needed = new Set<Value>(outputs.values());
  for (const node of [...source.nodes].reverse()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    for (const input of node.inputs) if (input !== undefined) needed.add(input);
  }
  for (const node of source.nodes) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    const results = inScopeOf(node, graph, () => {
      const replaced = replace(node, { graph, of });
      if (replaced !== undefined) return replaced;
      const inputs = node.inputs.map((input) => (input === undefined ? undefined : of(input)));
      return graph.emit(node.operator, inputs, node.outputs, node.attributes);
    });
    results.forEach((output, i) => {
      if (output !== undefined) values.set(node.outputs[i]!, output);
    });
  }
  for (const [name, value] of outputs) graph.output(name, of(value), source.declaredShapes.get(name));
  return graph;
}
