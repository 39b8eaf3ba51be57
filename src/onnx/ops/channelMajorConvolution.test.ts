import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, normals, numbers, relativeError } from '../../../test/support/graphs.js';
import { Graph } from '../graph.js';
import { GraphError } from '../shapes.js';
import { channelMajorConv } from './channelMajorConvolution.js';
import { type ConvOptions, conv } from './convolution.js';
import { patches, tiles } from './patches.js';
import { transpose } from './shape.js';

const cases: Record<string, readonly [number[], number[], Omit<ConvOptions, 'groups'>]> = {
  '1 x 1': [[2, 3, 4, 5], [4, 3, 1, 1], {}],
  '1 x 1 with a stride': [[2, 3, 5, 4], [4, 3, 1, 1], { stride: 2 }],
  '3 x 3': [[2, 3, 5, 4], [4, 3, 3, 3], { padding: 1 }],
  '3 x 3 without padding': [[2, 3, 5, 4], [4, 3, 3, 3], {}],
  '3 x 3 with a stride': [[2, 3, 6, 5], [4, 3, 3, 3], { stride: 2, padding: 1 }],
  '3 x 3 dilated': [[2, 3, 6, 5], [4, 3, 3, 3], { padding: 2, dilation: 2 }],
};

describe('channelMajorConv', () => {
  for (const [name, [shape, kernel, options]] of Object.entries(cases)) {
    for (const form of ['conv', 'patches'] as const) {
      it(`${name} by ${form} is Conv with images and channels swapped`, async () => {
        const { actual, expected } = await evaluate((feed) => {
          const x = feed(floats(shape, normals(shape, 1)));
          const weight = feed(floats(kernel, normals(kernel, 2)));
          const swapped = channelMajorConv(transpose(x, [1, 0, 2, 3]), weight, options, form);
          return { actual: transpose(swapped, [1, 0, 2, 3]), expected: conv(x, weight, undefined, options) };
        });
        assert.deepEqual(actual.shape, expected.shape);
        assert.ok(relativeError(numbers(actual), numbers(expected)) < 1e-5);
      });
    }
  }

  it('rejects a weight with another number of channels', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [3, 2, 5, 5]);
    const weight = graph.input('weight', 'float32', [4, 2, 3, 3]);
    assert.throws(
      () => channelMajorConv(x, weight),
      (error: unknown) =>
        error instanceof GraphError && /\[3, 2, 5, 5\] \(channels first\).*\[4, 2, 3, 3\]/.test(error.message),
    );
  });
});

describe('patches', () => {
  it('contain the cells of every window, with zeros outside the map', async () => {
    const x = floats(
      [1, 2, 3, 1],
      Array.from({ length: 6 }, (_, i) => i + 1),
    );
    const windows = { size: 2, stride: 2, dilation: 1, padding: 1, rows: 1, columns: 2 };
    const { y } = await evaluate((feed) => ({ y: patches(feed(x), windows) }));
    assert.deepEqual(y.shape, [2, 4]);
    assert.deepEqual(numbers(y), [0, 0, 0, 1, 0, 0, 2, 3]);
  });

  it('that do not overlap omit the cells of an incomplete window', async () => {
    const x = floats(
      [1, 3, 5, 1],
      Array.from({ length: 15 }, (_, i) => i),
    );
    const { y } = await evaluate((feed) => ({ y: tiles(feed(x), 2) }));
    assert.deepEqual(y.shape, [1, 1, 2, 4]);
    assert.deepEqual(numbers(y), [0, 1, 5, 6, 2, 3, 7, 8]);
  });
});
