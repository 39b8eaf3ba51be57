import type { Graph, Node, Value } from '../../onnx/graph.js';
import { add, div, mul, sqrt, sub } from '../../onnx/ops/elementwise.js';
import { matmul } from '../../onnx/ops/linear.js';
import { consumers, rewriteGraph } from '../../onnx/rewrite.js';
import { tensor } from '../../tensor/tensor.js';
import { type Affine, affineOf, composeAffine, identityAffine, vectorConstant } from './channelVector.js';
import { afterAffine, beforeAffine, emitWeighted, weightedNode } from './weightedNode.js';

/**
 * Layer normalisation without scale and shift, composed of elementary operators: ONNX Runtime's CPU kernel of
 * LayerNormalization is not vectorised and takes three times as long (docs/models.md). Means are products with a column,
 * because ONNX Runtime would move a preceding transposition through a ReduceMean and then copy.
 */
function standardise(x: Value, epsilon: number): Value {
  const channels = x.shape.at(-1) as number;
  const share = x.graph.constant(tensor('float32', [channels, 1], new Float32Array(channels).fill(1 / channels)));
  const centred = sub(x, matmul(x, share));
  const variance = matmul(mul(centred, centred), share);
  return div(centred, sqrt(add(variance, epsilon)));
}

/**
 * Folds scales and shifts of channels into the weights of the weighted node that follows: those of pixels, and those of
 * layer normalisations, which become elementary operators. They stay before a padded convolution, whose zero padding
 * applies to the shifted values.
 */
export function foldAffineBefore(source: Graph): Graph {
  const readers = consumers(source);
  const outputs = new Set(source.outputs.values());
  /** Whether all that reads a value can take a scale and shift of its channels (along `axis`) into its weights. */
  const absorbed = (value: Value, axis: number): boolean => {
    const reading = readers.get(value) ?? [];
    return !outputs.has(value) && reading.length > 0 && reading.every((node) => absorbs(node, value, axis));
  };
  const absorbs = (node: Node, x: Value, axis: number): boolean => {
    if (node.operator === 'Transpose') {
      return absorbed(node.outputs[0]!, (node.attributes['perm'] as readonly number[]).indexOf(axis));
    }
    if (affineOf(node, x, axis) !== undefined) return absorbed(node.outputs[0]!, axis);
    const weighted = weightedNode(node);
    if (weighted === undefined || weighted.input !== x || weighted.padded || weighted.groups !== 1) return false;
    return axis === (weighted.kind === 'MatMul' ? x.shape.length - 1 : 1);
  };

  /** Old values that are scale * (the new graph's value) + shift. */
  const pending = new Map<Value, Affine>();
  return rewriteGraph(source, (node, { of }) => {
    const x = node.inputs.find((input) => input?.constant === undefined) as Value;
    const [y] = node.outputs as readonly [Value];
    const last = x.shape.length - 1;
    if (node.operator === 'LayerNormalization') {
      const [, scale, shift] = node.inputs.map((input) => input?.constant?.data as Float32Array);
      const standard = standardise(of(x), (node.attributes['epsilon'] as { float: number }).float);
      if (absorbed(y, last)) {
        pending.set(y, { scale: scale!, shift: shift! });
        return [standard];
      }
      const { graph } = standard;
      return [add(mul(standard, vectorConstant(graph, scale!)), vectorConstant(graph, shift!))];
    }
    const before = pending.get(x);
    const affine = affineOf(node, x, last);
    // Of the other scales only the pixels' are folded: runtimes recognise a GELU by the factors inside it.
    if (affine !== undefined && (before !== undefined || (x.node?.operator === 'Cast' && absorbed(y, last)))) {
      pending.set(y, before === undefined ? affine : composeAffine(affine, before));
      return [of(x)];
    }
    if (before === undefined) return undefined;
    if (node.operator === 'Transpose') {
      pending.set(y, before);
      return undefined;
    }
    return [emitWeighted(node, afterAffine(weightedNode(node)!, before), of(x))];
  });
}

/** Folds scales and shifts of a weighted node's output channels into its weights: batch normalisation, biases. */
export function foldAffineAfter(source: Graph): Graph {
  const readers = consumers(source);
  const outputs = new Set(source.outputs.values());
  const folded = new Set<Node>();
  return rewriteGraph(source, (node, { of }) => {
    if (folded.has(node)) return [of(node.inputs.find((input) => input?.node !== undefined)!)];
    const weighted = weightedNode(node);
    if (weighted === undefined) return undefined;
    let value = node.outputs[0]!;
    let affine: Affine = identityAffine(weighted.outputs);
    for (;;) {
      const [next, ...others] = readers.get(value) ?? [];
      if (next === undefined || others.length > 0 || outputs.has(value)) break;
      const following = affineOf(next, value, weighted.kind === 'MatMul' ? value.shape.length - 1 : 1);
      if (following === undefined) break;
      affine = composeAffine(following, affine);
      folded.add(next);
      value = next.outputs[0]!;
    }
    if (value === node.outputs[0]) return undefined;
    return [emitWeighted(node, beforeAffine(weighted, affine), of(weighted.input))];
  });
}
