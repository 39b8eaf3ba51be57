import type { Node, Value } from '../../onnx/graph.js';
import { tensor } from '../../tensor/tensor.js';

/** One number for every channel of a value: y = x * scale + shift along its channel axis. */
export interface Affine {
  readonly scale: Float32Array;
  readonly shift: Float32Array;
}

/** A float32 vector as a constant [n]. */
export function vectorConstant(graph: Value['graph'], data: Float32Array): Value {
  return graph.constant(tensor('float32', [data.length], data));
}

/**
 * The elements of a constant that broadcasts along one axis of a value alone, one for each channel; undefined if it
 * varies along another axis.
 * @param axis counted from the front of `rank` axes
 */
function channelVector(constant: Value, axis: number, rank: number, channels: number): Float32Array | undefined {
  const { constant: held, shape } = constant;
  if (held === undefined || held.dtype !== 'float32' || shape.length > rank) return undefined;
  const data = held.data as Float32Array;
  if (data.length === 1) return new Float32Array(channels).fill(data[0]!);
  const along = shape.length - (rank - axis);
  if (data.length !== channels || shape[along] !== channels) return undefined;
  return data;
}

/** What a Mul or Add of a value and a constant does to each of the value's channels; undefined for other nodes. */
export function affineOf(node: Node, x: Value, axis: number): Affine | undefined {
  if (node.operator !== 'Mul' && node.operator !== 'Add') return undefined;
  const channels = x.shape[axis];
  const other = node.inputs[0] === x ? node.inputs[1] : node.inputs[0];
  if (other === undefined || other === x || typeof channels !== 'number') return undefined;
  const vector = channelVector(other, axis, x.shape.length, channels);
  if (vector === undefined) return undefined;
  return node.operator === 'Mul'
    ? { scale: vector, shift: new Float32Array(channels) }
    : { scale: new Float32Array(channels).fill(1), shift: vector };
}

/** First `inner`, then `outer`. */
export function composeAffine(outer: Affine, inner: Affine): Affine {
  return {
    scale: inner.scale.map((value, i) => value * outer.scale[i]!),
    shift: inner.shift.map((value, i) => value * outer.scale[i]! + outer.shift[i]!),
  };
}

/** Does not change any channel. */
export function identityAffine(channels: number): Affine {
  return { scale: new Float32Array(channels).fill(1), shift: new Float32Array(channels) };
}
