import { constantIntegers, type Node, type Value } from '../graph.js';
import { concat, pad, reshape, slice, transpose, zerosOf } from '../ops/shape.js';
import { GraphError, staticShape } from '../shapes.js';
import type { FamilyGradients, GradientRule } from './rule.js';

const reshapeBack: GradientRule = ({ node, x: [x], gy }) => [() => reshape(gy, staticShape(x!.shape, node.operator))];

/** Inserts step - 1 zeros after every slice along an axis, up to `length`. By Concat, since Pad is slow with single elements. */
function insertZeros(x: Value, axis: number, step: number, length: number): Value {
  const shape = staticShape(x.shape, 'Slice');
  const [before, count, rest] = [shape.slice(0, axis), shape[axis]!, shape.slice(axis + 1)];
  const zeros = zerosOf(x.graph, x.dtype, [...before, count, step - 1, ...rest]);
  const joined = concat([reshape(x, [...before, count, 1, ...rest]), zeros], axis + 1);
  const whole = reshape(joined, [...before, count * step, ...rest]);
  return count * step <= length ? whole : slice(whole, [{ axis, start: 0, end: length }]);
}

/**
 * The gradient of a Slice: a range forwards gets zeros around it and between the elements of a stride, a whole axis
 * backwards is reversed again.
 */
function unslice(node: Node, x: Value, gy: Value): Value {
  const shape = staticShape(x.shape, 'Slice');
  const [starts, ends, axes, steps] = node.inputs.slice(1).map((value) => constantIntegers(value!)) as number[][];
  const before = shape.map(() => 0);
  const after = shape.map(() => 0);
  const reversed: number[] = [];
  let spread = gy;
  axes!.forEach((axis, i) => {
    const [start, end, step, length] = [starts![i]!, ends![i]!, steps![i]!, shape[axis]!];
    if (step >= 1) {
      before[axis] = start;
      if (step > 1) spread = insertZeros(spread, axis, step, length - start);
      after[axis] = length - start - (spread.shape[axis] as number);
    } else if (step === -1 && start === length - 1 && end < 0) {
      reversed.push(axis);
    } else {
      throw new GraphError(`Slice: no gradient rule for step ${step} on axis ${axis} from ${start} to ${end}`);
    }
  });
  const flipped =
    reversed.length === 0
      ? spread
      : slice(
          spread,
          reversed.map((axis) => ({ axis, start: shape[axis]! - 1, end: -1, step: -1 })),
        );
  return pad(flipped, before, after);
}

export const shapeRules = {
  Shape: 'none',
  Reshape: reshapeBack,
  Unsqueeze: reshapeBack,
  // the inverse permutation
  Transpose: ({ node, gy }) => {
    const perm = node.attributes['perm'] as readonly number[];
    return [
      () =>
        transpose(
          gy,
          perm.map((_, axis) => perm.indexOf(axis)),
        ),
    ];
  },
  Slice: ({ node, x: [x], gy }) => [() => unslice(node, x!, gy)],
  // each input gets its own range back
  Concat: ({ node, x, gy }) => {
    const axis = node.attributes['axis'] as number;
    let start = 0;
    return x.map((value) => {
      const from = start;
      start += value.shape[axis] as number;
      return () => slice(gy, [{ axis, start: from, end: from + (value.shape[axis] as number) }]);
    });
  },
  // `gradients` sums over repeated elements
  Expand: ({ gy }) => [() => gy],
  Pad: ({ node, x: [x], gy }) => {
    const shape = staticShape(x!.shape, 'Pad');
    const pads = constantIntegers(node.inputs[1]!);
    return [
      () =>
        slice(
          gy,
          shape.map((dim, axis) => ({ axis, start: pads[axis]!, end: pads[axis]! + dim })),
        ),
    ];
  },
} satisfies FamilyGradients;
