import { elementCount } from '../../tensor/tensor.js';
import type { Node, Value } from '../graph.js';
import { scatterElementsAdd, scatterRowsAdd } from '../ops/indexing.js';
import { reshape, transpose, unsqueeze, zerosOf } from '../ops/shape.js';
import { staticShape } from '../shapes.js';
import type { FamilyGradients } from './rule.js';

/** Slices added at their indices along an axis: the axis moves to the front, rows are scattered, and it moves back. */
function addAtIndices({ attributes }: Node, x: Value, indices: Value, gy: Value): Value {
  const axis = attributes['axis'] as number;
  const shape = staticShape(x.shape, 'Gather');
  const count = elementCount(staticShape(indices.shape, 'Gather'));
  const front = [axis, ...shape.map((_, i) => i).filter((i) => i !== axis)];
  const flat = reshape(gy, [...shape.slice(0, axis), count, ...shape.slice(axis + 1)]);
  const rows = transpose(flat, front);
  const target = transpose(zerosOf(gy.graph, x.dtype, shape), front);
  const scattered = scatterRowsAdd(target, unsqueeze(reshape(indices, [count]), [-1]), rows);
  return transpose(
    scattered,
    front.map((_, i) => front.indexOf(i)),
  );
}

export const indexingRules = {
  // every picked slice is added back at its index
  Gather: ({ node, x: [x, indices], gy }) => [() => addAtIndices(node, x!, indices!, gy), undefined],
  GatherElements: ({ node, x: [x, indices], gy }) => [
    () => {
      const target = zerosOf(gy.graph, x!.dtype, staticShape(x!.shape, 'GatherElements'));
      return scatterElementsAdd(target, indices!, gy, node.attributes['axis'] as number);
    },
    undefined,
  ],
  OneHot: 'none',
  TopK: 'none',
  ScatterElements: 'unsupported',
  ScatterND: 'unsupported',
} satisfies FamilyGradients;
