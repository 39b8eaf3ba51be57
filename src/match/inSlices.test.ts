import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { turnsWhile } from '../../test/support/turnsWhile.js';
import { type CellFeatures, type Match, matchFeatures, matchFeaturesInSlices } from './features.js';
import { type LocationMatch, matchLocations, matchLocationsInSlices } from './locations.js';

/** 1,024 cells of 256 channels: 268 million products with itself. */
const cells = 1024;
const large: CellFeatures = {
  rows: 32,
  columns: 32,
  channels: 256,
  data: Float32Array.from({ length: cells * 256 }, (_, i) => Math.sin(i * 12.9898)),
};

describe('matchFeaturesInSlices', () => {
  it('equals matchFeatures, and yields to the event loop', async () => {
    let matches: readonly Match[] = [];
    const turns = await turnsWhile(async () => {
      matches = await matchFeaturesInSlices(large, large, { order: 'source' }, new AbortController().signal);
    });
    assert.ok(turns >= 50, `${turns} turns`);
    assert.deepEqual(matches, matchFeatures(large, large, { order: 'source' }));
  });

  it('stops at its next pause after an abort', async () => {
    const controller = new AbortController();
    setImmediate(() => controller.abort(new Error('given up')));
    const turns = await turnsWhile(() =>
      assert.rejects(matchFeaturesInSlices(large, large, {}, controller.signal), /given up/),
    );
    assert.ok(turns <= 3, `${turns} turns`);
  });

  it('has a counterpart by location', async () => {
    const centres = Float64Array.from({ length: 2 * 3000 }, (_, i) => (i * 7919) % 4001);
    const { signal } = new AbortController();
    let matches: readonly LocationMatch[] = [];
    const turns = await turnsWhile(async () => {
      matches = await matchLocationsInSlices(centres, centres, {}, signal);
    });
    assert.ok(turns >= 4, `${turns} turns`);
    assert.deepEqual(matches, matchLocations(centres, centres));
    await assert.rejects(
      matchLocationsInSlices(centres, centres, {}, AbortSignal.abort(new Error('no more'))),
      /no more/,
    );
  });

  it('rejects with the errors of matchFeatures', async () => {
    const wrong = matchFeaturesInSlices(large, large, { ratio: 2 }, new AbortController().signal);
    await assert.rejects(wrong, { name: 'MatchError', code: 'bad_option' });
  });
});
