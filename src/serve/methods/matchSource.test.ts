import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHeldEngine } from '../../../test/support/heldEngine.js';
import { sentSide } from '../../../test/support/sentSide.js';
import type { MatchRequest__Output } from '../../proto/generated/vicregl/v1/MatchRequest.js';
import type { MatchSide__Output } from '../../proto/generated/vicregl/v1/MatchSide.js';
import { defaultServeLimits } from '../limits.js';
import { createService } from '../service.js';

const call = { signal: new AbortController().signal, observe: () => {} };

test('a match that is too large is refused before the numbers that were sent are gone through', async () => {
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
  const { Match, MatchMany } = service.methods;
  const broken = sentSide(101, channels, Number.NaN);
  const others = [sentSide(10, channels, 1), sentSide(9, channels, 1)] as const;
  await assert.rejects(Match(request(broken, others[0]), call), { code: 'too_large' });
  // Within the limit they are, and refused for what they hold; so is the query of several, as a whole.
  const refused = { code: 'invalid_argument', message: /features\.features: element 0 is NaN; all must be finite$/ };
  await assert.rejects(Match(request(broken, others[1]), call), refused);
  await assert.rejects(Match(request(others[1], broken), call), refused);
  const many = { model: '', query: broken, targets: [others[1]], homography: null };
  await assert.rejects(MatchMany(many, call), refused);
  const { results } = await MatchMany({ ...many, query: others[1], targets: [broken, others[1]] }, call);
  assert.deepEqual(
    results?.map(({ status }) => status?.message),
    ['targets[0].features.features: element 0 is NaN; all must be finite', undefined],
  );
  await service.close();
});
