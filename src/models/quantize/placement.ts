import type { Graph, Node, Value } from '../../onnx/graph.js';
import { consumers } from '../../onnx/rewrite.js';
import { weightedNode } from './weightedNode.js';

/** What a quantised graph computes with integers. */
export interface Placement {
  /** Values that become uint8. */
  readonly activations: ReadonlySet<Value>;
  /** Nodes whose weights become int8. */
  readonly weighted: ReadonlySet<Node>;
}

/** The output of the ReLU that is a value's only reader, else the value itself. */
function afterOnlyRelu(value: Value, readers: ReadonlyMap<Value, readonly Node[]>): Value {
  const reading = readers.get(value) ?? [];
  return reading.length === 1 && reading[0]!.operator === 'Relu' ? reading[0]!.outputs[0]! : value;
}

/** Matrix products: uint8 in, float out. Everything between them (norms, GELU, sums, depthwise convolutions) is float. */
export function placeInGemms(graph: Graph): Placement {
  const weighted = new Set(graph.nodes.filter((node) => weightedNode(node)?.kind === 'Gemm'));
  return { activations: new Set([...weighted].map((node) => node.inputs[0]!)), weighted };
}

/**
 * Convolutions and the sums of the blocks: uint8 in and out. Float are the first convolution (of the pixels, with few
 * channels), the pooling after it (fast in float, slow in uint8) and the last sum, whose result is the map.
 */
export function placeInConvolutions(graph: Graph): Placement {
  const readers = consumers(graph);
  const activations = new Set<Value>();
  const convolutions = graph.nodes.filter((node) => weightedNode(node)?.kind === 'Conv');
  const weighted = new Set(convolutions.slice(1));
  for (const node of weighted) {
    activations.add(node.inputs[0]!);
    activations.add(afterOnlyRelu(node.outputs[0]!, readers));
  }
  return { activations, weighted };
}
