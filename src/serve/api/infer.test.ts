import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { createHeldEngine } from '../../../test/support/heldEngine.js';
import type { EmbedRequest__Output } from '../../proto/generated/vicregl/v1/EmbedRequest.js';
import type { Phase } from '../call/phases.js';
import { ServeError } from '../call/serveError.js';
import { defaultServeLimits } from '../config/serveLimits.js';
import { createService } from './service.js';

test('an image that a full queue rejects is not decoded', async () => {
  const { engine, free } = createHeldEngine();
  const limits = { ...defaultServeLimits, queueImages: 1, batchImages: 1 };
  const service = createService({ models: [{ engine }], limits });
  const encoded = await sharp(new Uint8Array(64 * 64 * 3), { raw: { width: 64, height: 64, channels: 3 } })
    .png()
    .toBuffer();
  const embed = (phases: Phase[]) => {
    const request: EmbedRequest__Output = {
      model: '',
      image: { encoded, source: 'encoded', crop: null },
      space: 'GLOBAL_SPACE_UNSPECIFIED',
      dtype: 'DATA_TYPE_FLOAT32',
      l2Normalize: false,
    };
    const call = { signal: new AbortController().signal, observe: (phase: Phase) => void phases.push(phase) };
    return service.methods.Embed.handle(request, call);
  };
  const accepted: Phase[] = [];
  const answer = embed(accepted);
  const refused: Phase[] = [];
  await assert.rejects(embed(refused), (error) => error instanceof ServeError && error.code === 'overloaded');
  assert.deepEqual(refused, []);
  free();
  assert.ok((await answer).embedding);
  assert.ok(accepted.includes('decode'));
  await service.close();
});
