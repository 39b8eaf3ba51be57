import { elementCount } from '../../tensor/tensor.js';
import { scatterElementsAdd, scatterRowsAdd } from '../ops/indexing.js';
import { reshape, transpose, unsqueeze, zerosOf } from '../ops/shape.js';
import { staticShape } from '../shapes.js';
import type { FamilyGradients } from './rule.js';

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
    const target = transpose(zerosOf(gy.graph, x!.dtype, staticShape(x!.shape, 'zeros')), front);
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
    scatterElementsAdd(
      zerosOf(gy.graph, x!.dtype, staticShape(x!.shape, 'zeros')),
      indices!,
      gy,
      node.attributes['axis'] as number,
    ),
    undefined,
  ],
  OneHot: 'none',
  TopK: 'none',
  ScatterElements: 'unsupported',
  ScatterND: 'unsupported',
} satisfies FamilyGradients;
