import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doubles, evaluate, normals, numbers } from '../../test/support/graphs.js';
import { clipScale, globalNorm } from './clip.js';

describe('clipping by the global norm', () => {
  const gradients = [
    [[2, 3], normals([6], 1)],
    [[5], normals([5], 2)],
    [[], [0.25]],
  ] as const;
  const norm = Math.hypot(...gradients.flatMap(([, values]) => values));
  const clip = async (clipNorm: number, factor = 1) => {
    const { found, scale } = await evaluate((feed) => {
      const found = globalNorm(gradients.map(([shape, values]) => feed(doubles(shape, values.map((v) => factor * v)))));
      return { found, scale: clipScale(found, clipNorm) };
    });
    return { norm: numbers(found)[0]!, scale: numbers(scale)[0]! };
  };
  const near = (actual: number, expected: number) => assert.ok(Math.abs(actual - expected) <= 1e-12 * expected);

  it('takes all gradients as one vector', async () => near((await clip(1)).norm, norm));

  it('scales larger ones down to the limit, as clip_grad_norm_ of PyTorch', async () => {
    near((await clip(0.5)).scale, 0.5 / (norm + 1e-6));
  });

  it('leaves smaller ones, and gradients of zero, as they are', async () => {
    assert.equal((await clip(norm + 0.1)).scale, 1);
    assert.deepEqual(await clip(0.5, 0), { norm: 0, scale: 1 });
  });
});
