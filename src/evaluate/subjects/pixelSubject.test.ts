import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { OutputName } from '../../engine/engine.js';
import { tensor } from '../../tensor/tensor.js';
import { pixelSubject } from './pixelSubject.js';

/** Red is the column, green the row, blue the image. */
const batch = tensor(
  'uint8',
  [2, 32, 64, 3],
  Uint8Array.from({ length: 2 * 32 * 64 * 3 }, (_, i) => {
    const pixel = Math.floor(i / 3);
    return [pixel % 64, Math.floor(pixel / 64) % 32, Math.floor(pixel / (64 * 32))][i % 3]!;
  }),
);
const near = (actual: ArrayLike<number>, expected: readonly number[]) => {
  for (const [i, value] of expected.entries()) assert.ok(Math.abs(actual[i]! - value) < 1e-6, `${actual[i]}, ${value}`);
};

describe('raw pixels as features', () => {
  it('have a patch per cell, averaged over at most 8 x 8 areas', async () => {
    const source = pixelSubject(
      new Map<OutputName, number>([
        ['maps', 16],
        ['stage1', 4],
      ]),
    );
    const subject = await source.open();
    assert.deepEqual(subject.outputs.get('maps'), { channels: 192, stride: 16 });
    assert.deepEqual(subject.outputs.get('stage1'), { channels: 48, stride: 4 });
    const { maps, stage1 } = await subject.run(batch, new Set<OutputName>(['maps', 'stage1']));
    assert.deepEqual(
      [maps!.shape, stage1!.shape],
      [
        [2, 2, 4, 192],
        [2, 8, 16, 48],
      ],
    );
    // Image 1, row 1, column 2 of maps: its first area has the pixels 32..33 of the rows 16..17.
    near(
      maps!.data.subarray((8 + 4 + 2) * 192),
      [32.5, 16.5, 1].map((value) => value / 255 - 0.45),
    );
    // Its last area.
    near(
      maps!.data.subarray((8 + 4 + 2) * 192 + 189),
      [46.5, 30.5, 1].map((value) => value / 255 - 0.45),
    );
    // Stage 1: single pixels.
    near(
      stage1!.data.subarray(48, 54),
      [4, 0, 0, 5, 0, 0].map((value) => value / 255 - 0.45),
    );
  });

  it('are the image in 16 x 16 areas as representation', async () => {
    const subject = await pixelSubject(new Map([['maps', 32]])).open();
    const { representation } = await subject.run(batch, new Set<OutputName>(['representation']));
    assert.deepEqual(representation!.shape, [2, 768]);
    near(
      representation!.data.subarray(768 + 3),
      [5.5, 0.5, 1].map((value) => value / 255 - 0.45),
    );
  });
});
