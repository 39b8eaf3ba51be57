import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inlierThreshold } from './inlierThreshold.js';

test('the threshold is the longer distance of adjacent cells, also where the crop was mirrored', () => {
  const of = (scaleX: number, scaleY: number) =>
    inlierThreshold({ cellToPixel: { scaleX, scaleY, offsetX: 100, offsetY: 100 } });
  assert.deepEqual([of(8, 6), of(6, 8), of(-8, 6), of(-6, 8)], [8, 8, 8, 8]);
});
