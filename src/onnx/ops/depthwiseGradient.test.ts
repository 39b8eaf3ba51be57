import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, normals, numbers, relativeError } from '../../../test/support/graphs.js';
import { type DepthwiseKernel, depthwiseWeightGradient } from './depthwiseGradient.js';

type Four = readonly [number, number, number, number];

/** The gradient in plain loops: the input of each tap times the output gradient. */
function reference(x: readonly number[], gy: readonly number[], shape: Four, { size, dilation }: DepthwiseKernel) {
  const [n, c, h, w] = shape;
  const at = (image: number, channel: number, row: number, column: number) =>
    ((image * c + channel) * h + row) * w + column;
  const result = new Array<number>(c * size * size).fill(0);
  for (let channel = 0; channel < c; channel++) {
    for (let tap = 0; tap < size * size; tap++) {
      const [down, across] = [Math.floor(tap / size), tap % size].map((i) => dilation * (i - (size - 1) / 2));
      for (let image = 0; image < n; image++) {
        for (let row = Math.max(0, -down!); row < Math.min(h, h - down!); row++) {
          for (let column = Math.max(0, -across!); column < Math.min(w, w - across!); column++) {
            result[channel * size * size + tap]! +=
              gy[at(image, channel, row, column)]! * x[at(image, channel, row + down!, column + across!)]!;
          }
        }
      }
    }
  }
  return result;
}

describe('the weight gradient of a depthwise convolution', () => {
  const cases: readonly (readonly [Four, DepthwiseKernel])[] = [
    [[2, 3, 9, 8], { size: 7, dilation: 1 }],
    [[1, 2, 3, 2], { size: 7, dilation: 1 }],
    [[3, 1, 5, 6], { size: 3, dilation: 1 }],
    [[2, 2, 7, 6], { size: 3, dilation: 2 }],
    [[2, 2, 1, 1], { size: 5, dilation: 1 }],
  ];
  for (const [shape, kernel] of cases) {
    it(`is the same in both forms and in plain loops: ${shape.join(' x ')}, ${kernel.size} taps, dilation ${kernel.dilation}`, async () => {
      const [x, gy] = [normals(shape, 1), normals(shape, 2)];
      const { planes, rows } = await evaluate((feed) => {
        const maps = [feed(floats(shape, x)), feed(floats(shape, gy))] as const;
        return {
          planes: depthwiseWeightGradient(...maps, kernel, 'planes'),
          rows: depthwiseWeightGradient(...maps, kernel, 'rows'),
        };
      });
      const expected = reference(x, gy, shape, kernel);
      for (const found of [planes, rows]) {
        assert.deepEqual(found.shape, [shape[1], 1, kernel.size, kernel.size]);
        assert.ok(relativeError(numbers(found), expected) < 1e-5);
      }
    });
  }
});
