import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stream } from '../../tensor/random.js';
import { overlap, overlappingCrops } from './cropPairs.js';
import { chanceShare, isWithin, truePositions } from './matchScore.js';

const crop = { top: 0, left: 0, height: 40, width: 40, flip: false };

test('true positions in a shifted crop are shifted', () => {
  // 10 pixels are one cell of 4: the source's column c is the target's column c - 1.
  const positions = truePositions({ source: crop, target: { ...crop, left: 10 }, rows: 4, columns: 4 });
  assert.deepEqual(positions[0], { column: -0.5, row: 0.5, visible: false });
  assert.deepEqual(positions[6], { column: 1.5, row: 1.5, visible: true });
});

test('a flipped target has its columns mirrored', () => {
  const positions = truePositions({ source: crop, target: { ...crop, flip: true }, rows: 4, columns: 4 });
  assert.deepEqual(positions[4], { column: 3.5, row: 1.5, visible: true });
  assert.ok(isWithin(positions[4]!, 7, 4, 0));
});

test('within one cell includes diagonal neighbours, and excludes all positions outside the target', () => {
  const at = { column: 1.5, row: 1.5, visible: true };
  const within = Array.from({ length: 16 }, (_, cell) => cell).filter((cell) => isWithin(at, cell, 4, 1));
  assert.deepEqual(within, [0, 1, 2, 4, 5, 6, 8, 9, 10]);
  assert.equal(isWithin({ column: -0.1, row: 0.5, visible: false }, 0, 4, 1), false);
});

test('the chance of equal crops is 1 on 2 x 2 cells, and 100 of 256 on 4 x 4 cells', () => {
  // 4 x 4: four corners with 4 neighbours, eight edges with 6, four inner cells with 9.
  assert.equal(chanceShare(truePositions({ source: crop, target: crop, rows: 2, columns: 2 }), 2, 1), 1);
  assert.equal(chanceShare(truePositions({ source: crop, target: crop, rows: 4, columns: 4 }), 4, 1), 100 / 256);
});

test('pairs of crops overlap by at least the given share', () => {
  assert.equal(overlap(crop, { ...crop, left: 40 }), 0);
  assert.equal(overlap(crop, { top: 0, left: 0, height: 20, width: 20 }), 0.25);
  const random = stream(1);
  const options = { scale: [0.4, 1], aspect: [3 / 4, 4 / 3] } as const;
  for (let i = 0; i < 200; i++) {
    const [a, b] = overlappingCrops(random, { width: 300, height: 200 }, options, 0.5);
    assert.ok(overlap(a, b) >= 0.5);
  }
  assert.throws(
    () => overlappingCrops(random, { width: 300, height: 200 }, { ...options, scale: [0.01, 0.02] }, 0.99),
    /lower minOverlap/,
  );
});
