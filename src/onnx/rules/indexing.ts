import { elementCount, type Tensor, zeros } from '../../tensor/tensor.js';
import type { Value } from '../graph.js';
import { scatterElementsAdd, scatterRowsAdd } from '../ops/indexing.js';
import { expand, reshape, transpose, unsqueeze } from '../ops/shape.js';
import { staticShape } from '../shapes.js';
import type { GradientRule } from './rule.js';

function zerosLike(x: Value): Value {
  const shape = staticShape(x.shape, 'zeros');
  const zero = x.graph.constant(
    zeros(
      x.dtype,
      shape.map(() => 1),
    ) as Tensor,
  );
  return expand(zero, shape);
}

export const indexingRules = {
  // every picked slice is added back at its index: the axis is moved to the front, rows are scattered, and it moves back
  Gather: ({ node, x: [x, indices], gy }) => {
    const axis = node.attributes['axis'] as number;
    const shape = staticShape(x!.shape, 'Gather');
    const picked = staticShape(indices!.shape, 'Gather');
    const count = elementCount(picked);
    const front = [axis, ...shape.map((_, i) => i).filter((i) => i !== axis)];
    const flat = reshape(gy, [...shape.slice(0, axis), count, ...shape.slice(axis + 1)]);
    const rows = transpose(flat, front);
    const target = transpose(zerosLike(x!), front);
    const scattered = scatterRowsAdd(target, unsqueeze(reshape(indices!, [count]), [-1]), rows);
    return [
      transpose(
        scattered,
        front.map((_, i) => front.indexOf(i)),
      ),
      undefined,
    ];
  },
  GatherElements: ({ node, x: [x, indices], gy }) => [
    scatterElementsAdd(zerosLike(x!), indices!, gy, node.attributes['axis'] as number),
    undefined,
  ],
  TopK: null,
} satisfies Record<string, GradientRule | null>;
