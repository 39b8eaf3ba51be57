import { elementCount } from '../../tensor/tensor.js';
import { scatterElementsAdd } from '../ops/indexing.js';
import { reshape, zerosOf } from '../ops/shape.js';
import { staticShape } from '../shapes.js';
import type { FamilyGradients } from './rule.js';

export const poolRules = {
  // the gradient of a window goes to the element that was its largest (the first of equals)
  MaxPool: ({ x: [x], y: [, indices], gy }) => [
    () => {
      const shape = staticShape(x!.shape, 'MaxPool');
      const flat = zerosOf(gy.graph, x!.dtype, [elementCount(shape)]);
      const scattered = scatterElementsAdd(flat, reshape(indices!, [-1]), reshape(gy, [-1]), 0);
      return reshape(scattered, shape);
    },
  ],
} satisfies FamilyGradients;
