import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { VicreglError } from '../client/vicreglError.js';
import { extractImages, type FeatureClient } from './extractFeatures.js';
import type { ImageFeatures } from './features.js';

const photo = await readFile('test/fixtures/photos/coffee.jpg');
const grid = {
  ...{ rows: 1, columns: 1, stride: 8, original: { width: 600, height: 400 } },
  cellToPixel: { scaleX: 600, scaleY: 400, offsetX: 0, offsetY: 0 },
};

/** A client whose calls fail as the lists say, one error a call, and then succeed. */
function clientOf(failures: Readonly<Partial<Record<keyof FeatureClient, VicreglError[]>>>) {
  const calls: string[] = [];
  const answer = (method: keyof FeatureClient, value: object) => async () => {
    calls.push(method);
    const error = failures[method]?.shift();
    if (error !== undefined) throw error;
    return value;
  };
  const client = {
    features: answer('features', { data: Float32Array.of(3, 4), shape: [1, 1, 2], grid }),
    embed: answer('embed', { vector: Float32Array.of(1, 2) }),
  } as unknown as FeatureClient;
  return { client, calls };
}

async function extract(client: FeatureClient, signal = new AbortController().signal) {
  const kept = new Map<string, ImageFeatures | undefined>();
  const failed = await extractImages(client, ['a.jpg'], { size: { kind: 'native' }, space: 'backbone' }, 8, {
    check: () => {},
    read: async () => photo,
    keep: async (name, features) => void kept.set(name, features),
    signal,
  });
  return { failed, kept };
}

const refusal = (code: VicreglError['code'], options: ConstructorParameters<typeof VicreglError>[2] = {}) =>
  new VicreglError(code, 'not now', options);

describe('the features of a set', () => {
  for (const [why, error] of [
    ['is overloaded', refusal('RESOURCE_EXHAUSTED', { reason: 'OVERLOADED' })],
    ['limits the rate of a token', refusal('RESOURCE_EXHAUSTED', { reason: 'RATE_LIMITED' })],
    ['is gone for a moment', refusal('UNAVAILABLE')],
  ] as const) {
    it(`are asked for again where a service ${why}`, async () => {
      const { client, calls } = clientOf({ features: [error], embed: [error] });
      const { failed, kept } = await extract(client);
      assert.deepEqual(failed, []);
      assert.deepEqual(calls, ['features', 'features', 'embed', 'embed']);
      const { descriptors, norms, global } = kept.get('a.jpg')!;
      assert.deepEqual([descriptors, norms], [Float32Array.of(3 / 5, 4 / 5), Float32Array.of(5)]);
      assert.deepEqual(global, Float32Array.of(1, 2));
    });
  }

  it('are not asked for again where the same call would fail again: a bad image is skipped, a bad setting ends all', async () => {
    const image = clientOf({ features: [refusal('INVALID_ARGUMENT', { reason: 'IMAGE_CORRUPT' })] });
    const { failed, kept } = await extract(image.client);
    assert.deepEqual(failed, [{ name: 'a.jpg', reason: 'not now' }]);
    assert.deepEqual([...kept], [['a.jpg', undefined]]);
    assert.deepEqual(image.calls, ['features']);
    const setting = clientOf({ features: [refusal('RESOURCE_EXHAUSTED', { reason: 'TOO_LARGE' })] });
    await assert.rejects(extract(setting.client), { code: 'RESOURCE_EXHAUSTED', reason: 'TOO_LARGE' });
    assert.deepEqual(setting.calls, ['features']);
  });

  it('wait as long as the service asks, but not after the signal', async () => {
    const { client, calls } = clientOf({
      features: [refusal('RESOURCE_EXHAUSTED', { reason: 'RATE_LIMITED', retryAfterSeconds: 100_000 })],
    });
    const controller = new AbortController();
    const extracting = assert.rejects(extract(client, controller.signal), /stopped/);
    // Longer than the first pause without the service's own.
    setTimeout(() => controller.abort(new Error('stopped')), 400);
    await extracting;
    assert.deepEqual(calls, ['features']);
  });
});
