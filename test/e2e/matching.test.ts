import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { pino } from 'pino';
import sharp from 'sharp';
import { type Client, createClient, type Matches, VicreglError } from '../../src/client/index.js';
import { createOnnxEngine } from '../../src/engine/onnxEngine.js';
import { matchFeatures } from '../../src/match/features.js';
import { defaultServeLimits } from '../../src/serve/config/serveLimits.js';
import { createServer } from '../../src/serve/server.js';
import { withTinyModel } from '../support/tinyModel.js';

/** Matching over a socket with photographs and ONNX Runtime. */

const photo = (name: string) => readFile(new URL(`../../../test/fixtures/photos/${name}`, import.meta.url));
const fit = (width: number, height: number) => ({ kind: 'fit', width, height }) as const;

function failsWith(code: string, text: RegExp, reason: string) {
  return (error: unknown) => {
    assert.ok(error instanceof VicreglError, String(error));
    assert.deepEqual([error.code, error.reason], [code, reason], error.message);
    assert.match(error.message, text);
    return true;
  };
}

describe('matching over a socket', () => {
  let client: Client;
  let metricsAddress: string;
  let close: () => Promise<void>;
  before(async () => {
    const model = await withTinyModel();
    const server = await createServer({
      models: [{ engine: await createOnnxEngine(model.folder, { device: 'cpu', threads: 1 }) }],
      logger: pino({ level: 'silent' }),
      address: '127.0.0.1:0',
      metricsAddress: '127.0.0.1:0',
      limits: { ...defaultServeLimits, matchTargets: 4 },
    });
    client = createClient({ address: server.address, deadlineMs: 30_000 });
    metricsAddress = server.metricsAddress;
    close = async () => {
      await client.close();
      await server.close();
      await model.remove();
    };
  });
  after(() => close());

  const runs = async (): Promise<number> => {
    const text = await (await fetch(`http://${metricsAddress}/metrics`)).text();
    return Number(/^vicregl_batch_images_sum (\d+)$/m.exec(text)?.[1] ?? 0);
  };

  test('large maps are matched in the worker, with the same result as the exact search', async () => {
    const [a, b] = [
      { pixels: await photo('chelsea.png'), resize: fit(448, 304) },
      { pixels: await photo('coffee.jpg'), resize: fit(400, 320) },
    ];
    const [mapA, mapB] = await Promise.all([a, b].map((image) => client.features(image, { space: 'localProjector' })));
    const map = ({ data, shape }: { data: Float32Array; shape: readonly number[] }) => {
      const [rows, columns, channels] = shape as [number, number, number];
      return { rows, columns, channels, data };
    };
    const distances = [{ distance: 'cosine' }, { distance: 'centredCosine' }] as const;
    for (const options of [{}, { mutual: true }, { ratio: 0.9 }, ...distances]) {
      const expected = matchFeatures(map(mapA!), map(mapB!), { ...options, order: 'source' });
      const { pairs } = await client.match(a, b, { ...options, topGamma: 0 });
      assert.ok(pairs.length > 20);
      assert.deepEqual(
        pairs.map(({ a: from, b: to }) => [from.row * 56 + from.column, to.row * 50 + to.column]),
        expected.map(({ source, target }) => [source, target]),
      );
    }
  });

  test('stored features give the same matches as their image, without another run of the network', async () => {
    const a = { pixels: await photo('chelsea.png'), resize: fit(160, 160) };
    const b = await photo('coffee.jpg');
    const expected = await client.match(a, b);
    const stored = await client.storeFeatures(a);
    assert.deepEqual([stored.alreadyStored, stored.ttlSeconds, stored.grid], [false, 600, expected.gridA]);
    const before = await runs();
    assert.deepEqual(await client.storeFeatures(a, { ttlSeconds: 5 }), { ...stored, alreadyStored: true });
    const { featureRef } = stored;
    assert.deepEqual(await client.match({ featureRef }, b), expected);
    const again = await client.match({ image: a, store: true }, b);
    assert.deepEqual(again, { ...expected, featureRefA: featureRef });
    assert.equal((await runs()) - before, 2, 'b alone, twice');
    const cropped = await client.storeFeatures({ ...a, crop: { left: 0, top: 0, width: 100, height: 100 } });
    const backbone = await client.storeFeatures(a, { space: 'backbone', ttlSeconds: 5 });
    assert.equal(backbone.ttlSeconds, 5);
    const longer = { ...backbone, alreadyStored: true, ttlSeconds: 60 };
    assert.deepEqual(await client.storeFeatures(a, { space: 'backbone', ttlSeconds: 60 }), longer);
    assert.equal(new Set([featureRef, cropped.featureRef, backbone.featureRef]).size, 3);
  });

  test('a reference that is unknown or of another space is rejected with the reason', async () => {
    const b = await photo('coffee.jpg');
    await assert.rejects(
      client.match({ featureRef: 'gone' }, b),
      failsWith('NOT_FOUND', /^a\.feature_ref: .*send the image again/, 'FEATURES_EXPIRED'),
    );
    const { featureRef } = await client.storeFeatures(b, { space: 'backbone' });
    await assert.rejects(
      client.match(b, { featureRef }),
      failsWith(
        'FAILED_PRECONDITION',
        /^b\.feature_ref: .*output maps, and .*output maps_embedding/,
        'FEATURES_MISMATCH',
      ),
    );
    assert.equal((await client.match(b, { featureRef }, { space: 'backbone' })).pairs[0]?.distance, 0);
    await assert.rejects(
      client.match({ featureRef }, b, { by: 'location' }),
      failsWith('INVALID_ARGUMENT', /^a\.feature_ref: by_location accepts only crops/, 'INVALID_ARGUMENT'),
    );
    await assert.rejects(
      client.storeFeatures(b, { ttlSeconds: 601 }),
      failsWith('INVALID_ARGUMENT', /^ttl_seconds: 601 is outside 1 to 600 \(storedFeaturesTtl\)/, 'INVALID_ARGUMENT'),
    );
  });

  test('one query is matched with many targets: a bad target has its own error at its position', async () => {
    const [query, cat, cup] = await Promise.all(['astronaut.jpg', 'chelsea.png', 'coffee.jpg'].map(photo));
    const { featureRef } = await client.storeFeatures(cup!);
    const targets = [cat!, new Uint8Array([1, 2, 3]), { featureRef }, { featureRef: 'gone' }];
    const results = await client.matchMany(query!, targets, { topGamma: 7 });
    assert.deepEqual(
      results.map((result) => (result.status === 'fulfilled' ? 'ok' : result.reason.reason)),
      ['ok', 'IMAGE_UNSUPPORTED_FORMAT', 'ok', 'FEATURES_EXPIRED'],
    );
    const value = (i: number): Matches => (results[i] as { value: Matches }).value;
    assert.deepEqual(value(0), await client.match(query!, cat!, { topGamma: 7 }));
    assert.deepEqual(value(2).pairs, (await client.match(query!, cup!, { topGamma: 7 })).pairs);
    assert.match(String((results[1] as { reason: Error }).reason.message), /^targets\[1\]: /);
    await assert.rejects(
      client.matchMany({ featureRef: 'gone' }, [cat!]),
      failsWith('NOT_FOUND', /^query\.feature_ref/, 'FEATURES_EXPIRED'),
    );
    for (const [count, reason] of [
      [0, /^targets: empty; send 1 to 4$/],
      [5, /^targets: 5 are over the limit of 4 \(matchTargets\); send more in further calls/],
    ] as const) {
      const many = client.matchMany(query!, new Array(count).fill(cat!));
      await assert.rejects(many, failsWith('INVALID_ARGUMENT', reason, 'INVALID_ARGUMENT'));
    }
    const crop = (left: number) => ({ crop: { left, top: 0, width: 64, height: 64 } });
    const byPlace = await client.matchMany(crop(0), [crop(0), crop(32)], { by: 'location', topGamma: 0 });
    assert.deepEqual(
      byPlace.map((result) => result.status === 'fulfilled' && result.value.pairs[0]?.distance),
      [0, 32],
    );
  });

  test('features sent by the caller give the same matches as their image; damaged ones are rejected', async () => {
    const [a, b] = [{ pixels: await photo('chelsea.png'), resize: fit(96, 96) }, await photo('coffee.jpg')];
    const { data, shape, grid } = await client.features(a, { space: 'localProjector' });
    assert.deepEqual(
      (await client.match({ features: { data, shape, grid } }, b)).pairs,
      (await client.match(a, b)).pairs,
    );
    const bad = data.slice();
    bad[5] = Number.NaN;
    await assert.rejects(
      client.match({ features: { data: bad, shape, grid } }, b),
      failsWith('INVALID_ARGUMENT', /^a\.features\.features: element 5 is NaN/, 'INVALID_ARGUMENT'),
    );
    await assert.rejects(
      client.match({ features: { data, shape: [12, 11, 12], grid } }, b),
      failsWith('INVALID_ARGUMENT', /^a\.features\.features\.shape: \[12, 11, 12\] is not/, 'INVALID_ARGUMENT'),
    );
    await assert.rejects(
      client.match({ features: { data: data.subarray(1), shape, grid } }, b),
      failsWith('INVALID_ARGUMENT', /^a\.features\.features: /, 'INVALID_ARGUMENT'),
    );
  });

  test('a homography maps the pixels of one original to those of the other', async () => {
    const small = await photo('astronaut.jpg');
    const { width = 0, height = 0 } = await sharp(small).metadata();
    const large = await sharp(small)
      .resize(width * 3, height * 2, { fit: 'fill', kernel: 'cubic' })
      .png()
      .toBuffer();
    const options = { topGamma: 0, mutual: true, homography: { seed: 3 } };
    const [a, b] = [small, large].map((pixels) => ({ pixels, resize: fit(256, 256) }));
    const { homography, pairs } = await client.match(a!, b!, options);
    assert.ok(homography?.matrix, JSON.stringify(homography));
    const [h0, , , , h4] = homography.matrix;
    assert.ok(Math.abs(h0! - 3) < 0.1 && Math.abs(h4! - 2) < 0.1, `${homography.matrix}`);
    assert.equal(homography.matrix[8], 1);
    assert.equal(homography.inliers.length, pairs.length);
    assert.equal(homography.inliers.filter(Boolean).length, homography.inlierCount);
    assert.ok(homography.inlierCount > pairs.length / 2);
    assert.deepEqual((await client.match(a!, b!, options)).homography, homography);
  });

  test('without a homography, the answer has the reason and the pairs', async () => {
    const image = await photo('coffee.jpg');
    const { pairs, homography } = await client.match(image, image, { topGamma: 3, homography: true });
    assert.equal(pairs.length, 3);
    assert.deepEqual(homography, {
      absence: 'tooFewPairs',
      inliers: [false, false, false],
      inlierCount: 0,
      inlierRms: 0,
      iterations: 0,
    });
    for (const [field, wrong] of Object.entries({ threshold: 0, maxIterations: 100_001, confidence: 1 })) {
      const name = field.replace('I', '_i');
      await assert.rejects(
        client.match(image, image, { homography: { [field]: wrong } }),
        failsWith('INVALID_ARGUMENT', new RegExp(`^homography\\.${name}: `), 'INVALID_ARGUMENT'),
      );
    }
  });
});
