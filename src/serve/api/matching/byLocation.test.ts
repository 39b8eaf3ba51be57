import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHeldEngine } from '../../../../test/support/heldEngine.js';
import { createService } from '../service.js';

test('pairs are kept up to the maximum distance, which itself is allowed', async () => {
  const { engine } = createHeldEngine();
  const service = createService({ models: [{ engine }] });
  const side = 4 * engine.manifest.stride;
  const crop = (left: number) => ({
    source: 'image' as const,
    image: { crop: { left, top: 0, width: side, height: side, flip: false }, resize: 'native' as const, native: {} },
    store: false,
  });
  const { handle: match } = service.methods.Match;
  const pairsWithin = async (maxDistance?: number) => {
    const byLocation = { topGamma: 0, ...(maxDistance !== undefined && { maxDistance }) };
    const { pairs } = await match(
      // The cells of b lie 3 pixels further to the right.
      { model: '', a: crop(0), b: crop(3), matching: 'byLocation', byLocation, homography: null },
      { signal: new AbortController().signal, observe: () => {} },
    );
    return pairs?.map(({ distance }) => distance);
  };
  const all = new Array(16).fill(3);
  assert.deepEqual(await pairsWithin(), all);
  assert.deepEqual(await pairsWithin(3), all);
  assert.deepEqual(await pairsWithin(2.999), []);
  await service.close();
});
