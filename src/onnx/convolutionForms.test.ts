import assert from 'node:assert/strict';
import { test } from 'node:test';
import { convolutionForms, depthwiseGradientForm, multipliesDepthwise } from './convolutionForms.js';

test('the more images share the matrix of a depthwise product, the larger the maps that are multiplied', () => {
  const largest = (images: number) =>
    Array.from({ length: 40 }, (_, at) => at + 1).findLast((side) => multipliesDepthwise('cpu', images, side * side));
  assert.deepEqual([1, 2, 3, 4, 8, 15, 16, 32, 64, 512].map(largest), [5, 7, 7, 8, 10, 10, 12, 16, 20, 20]);
});

test('rows stand by ascending images, which is how one is found', () => {
  const images = convolutionForms.cpu.depthwiseProduct.map((row) => row.images);
  assert.deepEqual(
    images,
    images.toSorted((a, b) => a - b),
  );
});

test('on CUDA depthwise convolutions stay convolutions; their weight gradients are products there and on small maps', () => {
  assert.equal(multipliesDepthwise('cuda', 64, 16), false);
  assert.equal(depthwiseGradientForm('cuda', 56 * 56), 'rows');
  assert.deepEqual(
    [20, 28].map((side) => depthwiseGradientForm('cpu', side * side)),
    ['rows', 'planes'],
  );
});
