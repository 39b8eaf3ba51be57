import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { createHeldEngine } from '../../../../test/support/heldEngine.js';
import { sentSide } from '../../../../test/support/sentSide.js';
import type { MatchRequest__Output } from '../../../proto/generated/vicregl/v1/MatchRequest.js';
import type { MatchSide__Output } from '../../../proto/generated/vicregl/v1/MatchSide.js';
import { createAdmission } from '../../admission/admission.js';
import { defaultServeLimits } from '../../config/serveLimits.js';
import { createService } from '../service.js';

const call = { signal: new AbortController().signal, observe: () => {} };

test('a match that is too large is rejected before the sent numbers are checked', async () => {
  const { engine } = createHeldEngine();
  const channels = engine.manifest.dims.mapsEmbedding!;
  const service = createService({
    models: [{ engine }],
    limits: { ...defaultServeLimits, maxMatchProducts: 100 * 10 * channels },
  });
  const request = (a: MatchSide__Output, b: MatchSide__Output): MatchRequest__Output => ({
    model: '',
    a,
    b,
    homography: null,
  });
  const { handle: match } = service.methods.Match;
  const { handle: matchMany } = service.methods.MatchMany;
  const broken = sentSide(101, channels, Number.NaN);
  const others = [sentSide(10, channels, 1), sentSide(9, channels, 1)] as const;
  await assert.rejects(match(request(broken, others[0]), call), { code: 'too_large' });
  // Within the limit they are checked, and rejected for their content; so is the query of several matches as a whole.
  const refused = { code: 'invalid_argument', message: /features\.features: element 0 is NaN; all must be finite$/ };
  await assert.rejects(match(request(broken, others[1]), call), refused);
  await assert.rejects(match(request(others[1], broken), call), refused);
  const many = { model: '', query: broken, targets: [others[1]], homography: null };
  await assert.rejects(matchMany(many, call), refused);
  const { results } = await matchMany({ ...many, query: others[1], targets: [broken, others[1]] }, call);
  assert.deepEqual(
    results?.map(({ status }) => status?.message),
    ['targets[0].features.features: element 0 is NaN; all must be finite', undefined],
  );
  await service.close();
});

test('the bytes of sent features count against the budget of all maps, and are released', async () => {
  const { engine, free, nextRun } = createHeldEngine();
  const channels = engine.manifest.dims.mapsEmbedding!;
  const bytes = 10 * channels * 4;
  const limits = { ...defaultServeLimits, mapBytes: 2 * bytes - 1 };
  const admission = createAdmission(limits, [engine]);
  const service = createService({ models: [{ engine }], limits, admission });
  const { handle: match } = service.methods.Match;
  const { handle: matchMany } = service.methods.MatchMany;
  const encoded = await sharp(new Uint8Array(64 * 64 * 3), { raw: { width: 64, height: 64, channels: 3 } })
    .png()
    .toBuffer();
  const image = { source: 'image' as const, image: { encoded, source: 'encoded' as const, crop: null }, store: false };
  const running = nextRun();
  const request = { model: '', homography: null };
  // The bytes of its query are held while its target's image runs.
  const many = matchMany({ ...request, query: sentSide(10, channels, 1), targets: [image] }, call);
  await running;
  assert.equal(admission.mapBytes.held, bytes);
  const two = { ...request, a: sentSide(10, channels, 1), b: sentSide(9, channels, 1) };
  await assert.rejects(match(two, call), { code: 'overloaded', limit: { name: 'mapBytes', value: 2 * bytes - 1 } });
  free();
  assert.equal((await many).results?.[0]?.status, undefined);
  assert.equal(admission.mapBytes.held, 0);
  assert.ok((await match(two, call)).pairs);
  assert.equal(admission.mapBytes.held, 0);
  await service.close();
});

test('the error of an empty side lists its options: all by features, and crops by location', async () => {
  const { engine } = createHeldEngine();
  const service = createService({ models: [{ engine }] });
  const { handle: match } = service.methods.Match;
  const { handle: matchMany } = service.methods.MatchMany;
  const side = sentSide(4, engine.manifest.dims.mapsEmbedding!, 1);
  const empty = { image: null, store: false } as MatchSide__Output;
  const request = { model: '', homography: null };
  const missing = (field: string) => ({
    code: 'invalid_argument',
    message: `${field}: missing; give an image, a feature_ref (of StoreFeatures), or features (of ExtractFeatures)`,
  });
  for (const nothing of [empty, null]) {
    await assert.rejects(match({ ...request, a: nothing, b: side }, call), missing('a'));
    await assert.rejects(match({ ...request, a: side, b: nothing }, call), missing('b'));
    await assert.rejects(matchMany({ ...request, query: nothing, targets: [side] }, call), missing('query'));
  }
  const { results } = await matchMany({ ...request, query: side, targets: [empty] }, call);
  assert.equal(results?.[0]?.status?.message, missing('targets[0]').message);
  const byLocation = { matching: 'byLocation', byLocation: {} } as const;
  await assert.rejects(match({ ...request, ...byLocation, a: empty, b: empty }, call), {
    message: 'a: missing; by_location needs two crops of one original',
  });
  await service.close();
});

test('a crop without its pixels must be inside the original that the other side shows', async () => {
  const { engine } = createHeldEngine();
  const service = createService({ models: [{ engine }] });
  const { handle: match } = service.methods.Match;
  const { handle: matchMany } = service.methods.MatchMany;
  const rgb = Buffer.alloc(100 * 80 * 3);
  const crop = ([left, top, width, height]: readonly [number, number, number, number]) => ({
    ...{ left, top, width, height },
    flip: false,
  });
  const shown = {
    source: 'image',
    image: { raw: { width: 100, height: 80, rgb }, source: 'raw', crop: crop([0, 0, 64, 64]) },
    store: false,
  } as MatchSide__Output;
  const claimed = (...of: readonly [number, number, number, number]) =>
    ({ source: 'image', image: { crop: crop(of) }, store: false }) as MatchSide__Output;
  const request = { model: '', homography: null, matching: 'byLocation', byLocation: {} } as const;
  const outside = (field: string, at: string) => ({
    code: 'invalid_argument',
    message: new RegExp(`^${field}\\.crop: ${at} reaches outside the original of height 80, width 100`),
  });
  for (const [of, at] of [
    [[37, 0, 64, 64], 'top 0, left 37, height 64, width 64'],
    [[0, 17, 64, 64], 'top 17, left 0, height 64, width 64'],
    [[4_294_967_295, 0, 4_294_967_295, 64], 'top 0, left 4294967295, height 64, width 4294967295'],
  ] satisfies [[number, number, number, number], string][]) {
    await assert.rejects(match({ ...request, a: shown, b: claimed(...of) }, call), outside('b', at));
    await assert.rejects(match({ ...request, a: claimed(...of), b: shown }, call), outside('a', at));
    const { results } = await matchMany({ ...request, query: shown, targets: [claimed(...of)] }, call);
    assert.match(results![0]!.status!.message!, outside('targets\\[0\\]', at).message);
  }
  assert.ok((await match({ ...request, a: shown, b: claimed(36, 16, 64, 64) }, call)).pairs!.length > 0);
  // Nothing is known of an original that was not sent.
  assert.ok((await match({ ...request, a: claimed(900, 900, 64, 64), b: claimed(910, 900, 64, 64) }, call)).pairs);
  await service.close();
});
