import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inSlices } from './slices.js';

function slicesOf(vectors: number, channels: number) {
  const slices: [number, number][] = [];
  const steps = inSlices(vectors, channels, (first, end) => slices.push([first, end]));
  let pauses = 0;
  while (steps.next().done === false) pauses++;
  return { slices, pauses };
}

test('every vector comes once, in order, with a pause between slices', () => {
  assert.deepEqual(slicesOf(196, 512), { slices: [[0, 196]], pauses: 0 });
  assert.deepEqual(slicesOf(1025, 512), {
    slices: [
      [0, 512],
      [512, 1024],
      [1024, 1025],
    ],
    pauses: 2,
  });
  assert.deepEqual(slicesOf(0, 512), { slices: [], pauses: 0 });
  // A vector is never cut.
  assert.deepEqual(slicesOf(2, 2 ** 20), {
    slices: [
      [0, 1],
      [1, 2],
    ],
    pauses: 1,
  });
});
