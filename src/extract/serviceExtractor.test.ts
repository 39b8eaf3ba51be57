import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Client } from '../client/client.js';
import { tensor } from '../tensor/tensor.js';
import { ExtractError } from './extractError.js';
import { createServiceExtractor } from './serviceExtractor.js';

type Stream = 'embedStream' | 'featuresStream';

const V1 = { name: 'tiny', version: '1' };
const vector = tensor('float32', [2], Float32Array.of(1, 2));
const map = tensor('float32', [1, 1, 2], Float32Array.of(3, 4));
const grid = {
  ...{ rows: 1, columns: 1, stride: 8, original: { width: 8, height: 8 } },
  cellToPixel: { scaleX: 8, scaleY: 8, offsetX: 0, offsetY: 0 },
};

/** A service of one model. @param answers the model that answers the nth image of a stream, from 0 */
function serviceOf(answers: (stream: Stream, nth: number) => { readonly name: string; readonly version: string }) {
  const answer = (stream: Stream, value: object) =>
    async function* (items: AsyncIterable<{ readonly id: string }>) {
      let nth = 0;
      for await (const { id } of items) {
        yield { id, phases: {}, status: 'fulfilled', value: { ...value, model: answers(stream, nth++) } };
      }
    };
  return {
    model: async () => ({
      ...{ ...V1, provider: 'cpu', stride: 8, stages: [], dimensions: { backbone: 2 } },
      preprocessing: { resize: 8, crop: 8 },
    }),
    serverInfo: async () => ({ limits: new Map(), models: [] }),
    embedStream: answer('embedStream', { vector: vector.data, tensor: vector }),
    featuresStream: answer('featuresStream', { grid, maps: [{ stage: 0, grid, tensor: map }] }),
    close: async () => {},
  } as unknown as Client;
}

/** The outcomes of two images, one after the other. */
async function extractTwo(client: Client) {
  const extractor = await createServiceExtractor(client, {
    wanted: {
      ...{ dtype: 'float32', l2: false, embedding: { space: 'backbone' } },
      features: { space: 'backbone', stages: [0] },
    },
    ...{ resize: undefined, policy: { kind: 'native' }, pooled: false },
    ...{ signal: new AbortController().signal, note: () => {} },
  });
  try {
    const outcomes = [];
    for (const name of ['a.jpg', 'b.jpg']) {
      const compute = await extractor.prepare([{ name, read: async () => Buffer.from(name) }]);
      outcomes.push(...(await compute()));
    }
    return outcomes;
  } finally {
    await extractor.close();
  }
}

describe('features by a service', () => {
  it('are those of its answers', async () => {
    const outcomes = await extractTwo(serviceOf(() => V1));
    for (const outcome of outcomes) {
      assert.ok('features' in outcome);
      const { values, width, height, covered } = outcome.features;
      assert.deepEqual(
        [...values],
        [
          ['features', map],
          ['embedding', vector],
        ],
      );
      assert.deepEqual(
        { width, height, covered },
        { ...grid.original, covered: { left: 0, top: 0, width: 8, height: 8 } },
      );
    }
    assert.equal(outcomes.length, 2);
  });

  for (const [stream, other] of [
    ['embedStream', { name: 'tiny', version: '2' }],
    ['featuresStream', { name: 'tiny', version: '2' }],
    ['embedStream', { name: 'large', version: '1' }],
  ] as const) {
    it(`end when another model answers: ${other.name}@${other.version} over ${stream}`, async () => {
      const client = serviceOf((of, nth) => (of === stream && nth === 1 ? other : V1));
      await assert.rejects(extractTwo(client), (error: unknown) => {
        assert.ok(error instanceof ExtractError, String(error));
        assert.equal(error.code, 'differs');
        assert.equal(
          error.message,
          `the service answers with ${other.name}@${other.version} and began with tiny@1; start again in another --out`,
        );
        return true;
      });
    });
  }
});
