import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { layOutTiles, readTiling, tileCount } from './tiles.js';

const limits = { inputPixels: 224 * 224 };
const tiling = (width: number, height: number, overlap?: number) =>
  readTiling({ width, height, ...(overlap !== undefined && { overlap }) }, 224, 32);

describe('windows of an image', () => {
  test('the defaults are the side of the model, and half of it as overlap, in multiples of the stride', () => {
    assert.deepEqual(tiling(0, 0), { window: { width: 224, height: 224 }, overlap: 96 });
    assert.deepEqual(tiling(320, 0, 0), { window: { width: 320, height: 320 }, overlap: 0 });
    assert.deepEqual(tiling(320, 128), { window: { width: 320, height: 128 }, overlap: 64 });
    assert.deepEqual(tiling(32, 0), { window: { width: 32, height: 32 }, overlap: 0 });
  });

  test('lengths that are no multiples of the stride, and too much overlap, name the ways out', () => {
    const bad = (message: RegExp) => ({ code: 'bad_dimensions', message });
    assert.throws(() => tiling(100, 0), bad(/^width is 100, not a multiple of the model's stride 32; use 96 or 128/));
    assert.throws(() => tiling(128, 100), bad(/^height is 100/));
    assert.throws(() => tiling(128, 0, 40), bad(/^overlap is 40, not a multiple .*; use 32 or 64/));
    assert.throws(
      () => tiling(128, 64, 64),
      bad(/^overlap is 64, not less than the shorter side 64 .*; use at most 32/),
    );
    assert.throws(() => tiling(32, 32, 32), bad(/^overlap is 32, .*; use at most 0/));
  });

  test('they cover the image with at least the overlap, the last one ends where the image ends', () => {
    const image = { width: 640, height: 96 };
    const found = layOutTiles(image, tiling(192, 0, 64), limits);
    assert.deepEqual(found, { tile: { width: 192, height: 96 }, lefts: [0, 128, 256, 384, 448], tops: [0] });
    for (const [width, side, overlap] of [
      [224, 224, 96],
      [256, 224, 96],
      [1024, 224, 0],
      [1056, 96, 64],
      [32, 224, 96],
    ] as const) {
      const size = { width, height: width };
      const cut = tiling(side, 0, overlap);
      const { tile, lefts, tops } = layOutTiles(size, cut, limits);
      assert.equal(lefts.length * tops.length, tileCount(size, cut));
      assert.equal(lefts.at(-1)! + tile.width, width);
      assert.equal(lefts[0], 0);
      for (let i = 1; i < lefts.length; i++) assert.ok(lefts[i - 1]! + tile.width - lefts[i]! >= overlap);
    }
  });

  test('a window has at most the pixels of a network input, and an allowed size', () => {
    const image = { width: 960, height: 640 };
    assert.throws(() => layOutTiles(image, tiling(256, 0), limits), {
      code: 'too_large',
      message: /256 x 256 = 65536/,
    });
    const sizes = { ...limits, inputSizes: [{ width: 192, height: 192 }] };
    assert.throws(() => layOutTiles(image, tiling(224, 0), sizes), { code: 'bad_dimensions', message: /inputSizes/ });
    assert.equal(layOutTiles(image, tiling(192, 0), sizes).tile.width, 192);
  });
});
