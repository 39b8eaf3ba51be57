import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CellFeatures, matchFeatures, matchFeaturesInSlices } from './features.js';
import { matchLocations, matchLocationsInSlices } from './locations.js';

/** 1,024 cells of 256 channels: 268 million products with itself. */
const cells = 1024;
const large: CellFeatures = {
  rows: 32,
  columns: 32,
  channels: 256,
  data: Float32Array.from({ length: cells * 256 }, (_, i) => Math.sin(i * 12.9898)),
};

describe('matchFeaturesInSlices', () => {
  it('gives what matchFeatures gives, while timers tick', async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const matches = await matchFeaturesInSlices(large, large, { order: 'source' }, new AbortController().signal);
    clearInterval(timer);
    assert.ok(ticks >= 10, `${ticks} ticks`);
    assert.deepEqual(matches, matchFeatures(large, large, { order: 'source' }));
  });

  it('stops early when it is aborted', async () => {
    const begin = performance.now();
    matchFeatures(large, large);
    const whole = performance.now() - begin;
    const given = new AbortController();
    const start = performance.now();
    const matching = matchFeaturesInSlices(large, large, {}, given.signal);
    setImmediate(() => given.abort(new Error('given up')));
    await assert.rejects(matching, /given up/);
    const took = performance.now() - start;
    assert.ok(took < whole / 2, `stopped after ${took} ms; the whole takes ${whole} ms`);
  });

  it('has a counterpart by location', async () => {
    const centres = Float32Array.from({ length: 2 * 3000 }, (_, i) => (i * 7919) % 4001);
    const { signal } = new AbortController();
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const matches = await matchLocationsInSlices(centres, centres, {}, signal);
    clearInterval(timer);
    assert.ok(turns >= 2, `${turns} ticks`);
    assert.deepEqual(matches, matchLocations(centres, centres));
    await assert.rejects(
      matchLocationsInSlices(centres, centres, {}, AbortSignal.abort(new Error('no more'))),
      /no more/,
    );
  });

  it('refuses what matchFeatures refuses, as a rejection', async () => {
    const wrong = matchFeaturesInSlices(large, large, { ratio: 2 }, new AbortController().signal);
    await assert.rejects(wrong, { name: 'MatchError', code: 'bad_option' });
  });
});
