import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHeldEngine } from '../../../../test/support/heldEngine.js';
import { sentSide } from '../../../../test/support/sentSide.js';
import type { HomographyFit__Output } from '../../../proto/generated/vicregl/v1/HomographyFit.js';
import type { MatchRequest__Output } from '../../../proto/generated/vicregl/v1/MatchRequest.js';
import { defaultServeLimits } from '../../config/serveLimits.js';
import { createService } from '../service.js';
import { withHomography } from './homography.js';

const call = { signal: new AbortController().signal, observe: () => {} };

test('a homography of too many pairs and samples is rejected before any work, with what would fit', async () => {
  const { engine } = createHeldEngine();
  const channels = engine.manifest.dims.mapsEmbedding!;
  const service = createService({
    models: [{ engine }],
    limits: { ...defaultServeLimits, maxHomographyTests: 20 * 20_000 },
  });
  const { handle: match } = service.methods.Match;
  const { handle: matchMany } = service.methods.MatchMany;
  const [a, b] = [sentSide(40, channels, 1), sentSide(20, channels, 2)];
  const byFeatures = {
    space: 'LOCAL_SPACE_UNSPECIFIED' as const,
    distance: 'MATCH_DISTANCE_UNSPECIFIED' as const,
    mutual: false,
    topGamma: 0,
  };
  const request = (options: Partial<MatchRequest__Output>): MatchRequest__Output => ({
    model: '',
    a,
    b,
    matching: 'byFeatures',
    byFeatures,
    homography: {},
    ...options,
  });
  const refused = {
    code: 'too_large',
    message:
      'homography.max_iterations: 20000 samples of up to 40 pairs are 800000 tests, over the limit of 400000 (maxHomographyTests); ask for ' +
      'fewer pairs (top_gamma, mutual, or smaller sizes by resize), or for max_iterations of at most 10000',
  };
  await assert.rejects(match(request({}), call), refused);
  // Nothing was checked before, not even that the numbers are finite.
  await assert.rejects(match(request({ a: sentSide(40, channels, Number.NaN) }), call), refused);
  for (const fitting of [
    { homography: { maxIterations: 10_000 } },
    { byFeatures: { ...byFeatures, topGamma: 20 } },
    { byFeatures: { ...byFeatures, mutual: true } },
    { homography: null },
  ]) {
    assert.ok((await match(request(fitting), call)).pairs, JSON.stringify(fitting));
  }
  const targets = [b];
  const { results } = await matchMany({ model: '', query: a, targets, byFeatures, homography: {} }, call);
  assert.equal(results?.[0]?.status?.message, refused.message);
  await service.close();
});

test('by default a pair agrees up to the distance of adjacent cells of b, with a threshold up to that', async () => {
  const grid = {
    ...{ rows: 8, columns: 8, stride: 8 },
    // Of a mirrored crop.
    cellToPixel: { scaleX: -8, scaleY: 6, offsetX: 64, offsetY: 0 },
  };
  const at = (x: number, y: number) => ({ x, y });
  const exact = Array.from({ length: 64 }, (_, i) => at((i % 8) * 20, Math.floor(i / 8) * 20));
  const pairs = [
    ...exact.map((place) => ({ a: place, b: place })),
    ...[7, 9.5].map((off) => ({ a: at(70, 70), b: at(70 + off, 70) })),
  ];
  const lastTwo = async (fit: HomographyFit__Output) => {
    const { homography } = await withHomography({ pairs }, fit, grid, call);
    return homography!.inliers!.slice(64);
  };
  assert.deepEqual(await lastTwo({}), [true, false]);
  assert.deepEqual(await lastTwo({ threshold: 6 }), [false, false]);
  assert.deepEqual(await lastTwo({ threshold: 11 }), [true, true]);
});

test('pairs by location count in the same way', async () => {
  const { engine } = createHeldEngine();
  const service = createService({ models: [{ engine }], limits: { ...defaultServeLimits, maxHomographyTests: 15 } });
  const { stride } = engine.manifest;
  const image = {
    crop: { left: 0, top: 0, width: 4 * stride, height: 4 * stride, flip: false },
    resize: 'native' as const,
    native: {},
  };
  const side = { source: 'image' as const, image, store: false };
  const request: MatchRequest__Output = {
    model: '',
    a: side,
    b: side,
    matching: 'byLocation',
    byLocation: { topGamma: 0 },
    homography: { maxIterations: 1 },
  };
  await assert.rejects(service.methods.Match.handle(request, call), {
    code: 'too_large',
    message:
      /^homography\.max_iterations: 1 samples of up to 16 pairs .*\(top_gamma, mutual, or smaller sizes by resize\)$/,
  });
  const fewer = await service.methods.Match.handle({ ...request, byLocation: { topGamma: 15 } }, call);
  assert.equal(fewer.pairs?.length, 15);
  await service.close();
});

test('by default all pairs of the largest image may have the maximum number of samples', () => {
  const { maxHomographyTests, output } = defaultServeLimits;
  assert.ok((output.inputPixels / 32 ** 2) * 100_000 <= maxHomographyTests);
});
