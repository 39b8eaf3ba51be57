import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { failsWith } from '../../test/support/failsWith.js';
import { tinyManifest } from '../../test/support/tinyModel.js';
import { type Client, createClientOver } from '../client/client.js';
import { cellCentre } from '../client/grid.js';
import type { RawPixels, Resize } from '../client/image.js';
import { VicreglError } from '../client/vicreglError.js';
import { EngineError } from '../engine/engine.js';
import { createFakeEngine } from '../engine/fakeEngine.js';
import { createService } from '../serve/api/service.js';
import { defaultServeLimits } from '../serve/config/serveLimits.js';
import { createLocalTransport } from './localTransport.js';

/** The four methods without a socket on the fake engine: the meaning of requests. Stride 8, input 56 x 56, 7 x 7 cells. */

const manifest = { ...tinyManifest, files: {} };
const photo = readFile(new URL('../../../test/fixtures/photos/coffee.jpg', import.meta.url));

function clientOf(options: Partial<Parameters<typeof createFakeEngine>[0]> = {}, limits = defaultServeLimits): Client {
  const engine = createFakeEngine({ manifest, ...options });
  return createClientOver(createLocalTransport(createService({ models: [{ engine }], limits })));
}

/** Every pixel differs from its neighbours, and every cell from every other. */
function gradient(width: number, height: number): RawPixels {
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++)
      rgb.set([(x * 255) / width, (y * 255) / height, (x * y) % 256], (y * width + x) * 3);
  }
  return { width, height, rgb };
}

describe('embed', () => {
  let client: Client;
  before(() => {
    client = clientOf();
  });
  after(() => client.close());

  test('uses the backbone by default, and the expander on request', async () => {
    const { vector, tensor, model } = await client.embed(await photo);
    assert.deepEqual(tensor.shape, [16]);
    assert.equal(vector.length, 16);
    assert.deepEqual(model, { name: 'tiny', version: '1' });
    assert.deepEqual((await client.embed(await photo, { space: 'expander' })).tensor.shape, [20]);
  });

  test('l2 normalises to length 1, and float16 is decoded within its precision', async () => {
    const { vector } = await client.embed(await photo, { l2Normalize: true });
    assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-6);
    const half = await client.embed(await photo, { l2Normalize: true, dtype: 'float16' });
    assert.equal(half.tensor.dtype, 'float16');
    for (const [i, value] of half.vector.entries()) assert.ok(Math.abs(value - vector[i]!) < 1e-3);
  });

  test('raw pixels and a file of the same pixels agree', async () => {
    const { decodeImage } = await import('../image/decode.js');
    // A PNG file: plain JPEG files are decoded and resized in one step.
    const file = await readFile(new URL('../../../test/fixtures/photos/chelsea.png', import.meta.url));
    const { width, height, data } = await decodeImage(file);
    const raw = await client.embed({ width, height, rgb: data });
    assert.deepEqual(raw.vector, (await client.embed(file)).vector);
  });

  test('errors name the field and the way out', async () => {
    const image = await photo;
    await assert.rejects(client.embed({}), failsWith('INVALID_ARGUMENT', /image: no pixels; set image\.encoded/));
    await assert.rejects(
      client.embed(Buffer.from('text')),
      failsWith('INVALID_ARGUMENT', /^image: image is text, which is not supported; send the bytes of an image file/),
    );
    await assert.rejects(
      client.embed(image.subarray(0, 9000)),
      failsWith(
        'INVALID_ARGUMENT',
        /^image: JPEG is damaged: it has no more data near row 64 of 400; check that it was transferred completely/,
      ),
    );
    await assert.rejects(
      client.embed({ width: 9, height: 9, rgb: new Uint8Array(9) }),
      failsWith('INVALID_ARGUMENT', /needs 243 bytes/),
    );
    await assert.rejects(client.embed(image, { model: 'large' }), failsWith('NOT_FOUND', /"large".*use "tiny@1"/));
    await assert.rejects(
      client.embed({ pixels: image, resize: { kind: 'fit', width: 60, height: 56 } }),
      failsWith('INVALID_ARGUMENT', /width is 60.*56 or 64/),
    );
    await assert.rejects(
      client.embed({ pixels: image, crop: { left: 500, top: 0, width: 200, height: 100 } }),
      failsWith('INVALID_ARGUMENT', /crop .*outside the image/),
    );
  });

  test('a model without an expander is an error that says so', async () => {
    const { expander: _, ...graphs } = manifest.graphs;
    const { embedding: __, ...dims } = manifest.dims;
    const small = clientOf({ manifest: { ...manifest, graphs, dims } });
    await assert.rejects(
      small.embed(await photo, { space: 'expander' }),
      failsWith('FAILED_PRECONDITION', /no expander/),
    );
    assert.deepEqual((await small.model()).dimensions, { backbone: 16, localProjector: 12 });
    await small.close();
  });

  test('a failing engine is an error status, and the next request works', async () => {
    let runs = 0;
    const flaky = clientOf({
      failWith: () => (++runs === 1 ? new EngineError('unavailable', 'worker died') : undefined),
    });
    await assert.rejects(flaky.embed(await photo), failsWith('UNAVAILABLE', /worker died/));
    assert.equal((await flaky.embed(await photo)).vector.length, 16);
    await flaky.close();
  });

  test('an abort before and during the call is CANCELLED', async () => {
    const slow = clientOf({ delayMs: 50 });
    await assert.rejects(slow.embed(await photo, { signal: AbortSignal.abort() }), failsWith('CANCELLED', /abort/));
    await assert.rejects(slow.embed(await photo, { signal: AbortSignal.timeout(10) }), VicreglError);
    await slow.close();
  });
});

describe('features', () => {
  let client: Client;
  before(() => {
    client = clientOf();
  });
  after(() => client.close());

  test('the grid maps cells to the original image', async () => {
    const { shape, grid, data } = await client.features(await photo, { space: 'localProjector' });
    assert.deepEqual(shape, [7, 7, 12]);
    assert.equal(data.length, 7 * 7 * 12);
    assert.deepEqual(grid.original, { width: 600, height: 400 });
    // Shortest side 400 -> 64, then the central 56 x 56: the centre of the middle cell is the image's.
    const { x, y } = cellCentre(grid, 3, 3);
    assert.ok(Math.abs(x - 300) < 400 / 64 && Math.abs(y - 200) < 1e-9, `${x}, ${y}`);
  });

  test('native keeps the size, rounded to the stride', async () => {
    const { shape, grid } = await client.features({ pixels: await photo, resize: { kind: 'native' } });
    assert.deepEqual(shape, [50, 75, 16]);
    assert.deepEqual(grid.cellToPixel, { scaleX: 8, scaleY: 8, offsetX: 0, offsetY: 0 });
  });

  test('a flipped crop maps to pixels of the original image', async () => {
    const crop = { left: 100, top: 50, width: 280, height: 140, flip: true };
    const { grid } = await client.features({ pixels: await photo, crop });
    assert.deepEqual(grid.cellToPixel, { scaleX: -40, scaleY: 20, offsetX: 380, offsetY: 50 });
    assert.deepEqual(cellCentre(grid, 0, 0), { x: 360, y: 60 });
  });

  test('a response over the limit is rejected with the ways out', async () => {
    const narrow = clientOf({}, { ...defaultServeLimits, maxResponseBytes: 3000 });
    await assert.rejects(
      narrow.features(await photo),
      failsWith(
        'RESOURCE_EXHAUSTED',
        /7 x 7 cells.* 3136 bytes.*3000 bytes \(maxResponseBytes\); ask for dtype float16 or int8, or a smaller size/,
      ),
    );
    assert.deepEqual((await narrow.features(await photo, { dtype: 'float16' })).shape, [7, 7, 16]);
    await narrow.close();
  });
});

describe('match', () => {
  let client: Client;
  before(() => {
    client = clientOf();
  });
  after(() => client.close());

  test('an image matches itself, cell by cell', async () => {
    const image = gradient(64, 64);
    const { pairs, gridA } = await client.match(image, image, { topGamma: 0 });
    assert.equal(pairs.length, 49);
    for (const { a, b, distance, similarity } of pairs) {
      assert.deepEqual(a, b);
      assert.ok(distance < 1e-3 && similarity! > 0.999);
      assert.deepEqual({ x: a.x, y: a.y }, cellCentre(gridA, a.row, a.column));
    }
  });

  test('returns 20 pairs by default, in the order of the source cells', async () => {
    const { pairs } = await client.match(await photo, gradient(64, 64));
    assert.equal(pairs.length, 20);
    const cells = pairs.map(({ a }) => a.row * 7 + a.column);
    assert.deepEqual(
      cells,
      [...cells].sort((x, y) => x - y),
    );
    const tiny = { pixels: gradient(64, 64), resize: { kind: 'fit', width: 16, height: 16 } } as const;
    assert.equal((await client.match(tiny, await photo)).pairs.length, 4);
  });

  test('filters', async () => {
    const image = gradient(64, 64);
    const all = await client.match(await photo, image, { topGamma: 0 });
    const mutual = await client.match(await photo, image, { topGamma: 0, mutual: true });
    assert.ok(mutual.pairs.length < all.pairs.length && mutual.pairs.length > 0);
    const similar = await client.match(await photo, image, { topGamma: 0, minSimilarity: 0.99 });
    assert.ok(similar.pairs.every(({ similarity }) => similarity! >= 0.99));
    const clear = await client.match(await photo, image, { topGamma: 0, ratio: 0.8 });
    assert.ok(clear.pairs.length < all.pairs.length);
  });

  test('the distance: cosine pairs each cell with the one of the largest similarity', async () => {
    const image = gradient(64, 64);
    const options = { space: 'backbone', topGamma: 0 } as const;
    const [l2, cosine, centred] = await Promise.all(
      [{}, { distance: 'cosine' }, { distance: 'centredCosine' }].map(async (distance) =>
        client.match(await photo, image, { ...options, ...(distance as { distance?: 'cosine' }) }),
      ),
    );
    assert.deepEqual((await client.match(await photo, image, { ...options, distance: 'l2' })).pairs, l2!.pairs);
    let larger = 0;
    for (const [i, { similarity, distance }] of cosine!.pairs.entries()) {
      assert.ok(Math.abs(distance - Math.sqrt(2 - 2 * similarity!)) < 1e-3, `${distance} ${similarity}`);
      assert.ok(similarity! >= l2!.pairs[i]!.similarity! - 1e-5);
      if (similarity! > l2!.pairs[i]!.similarity! + 1e-5) larger++;
    }
    assert.ok(larger > 0);
    // Features of a ReLU have no negative similarity; less their mean, half of all do.
    assert.ok(centred!.pairs.some(({ similarity }) => similarity! < cosine!.pairs[0]!.similarity! - 0.1));
  });

  test('by location: a crop and its mirror image match at the same positions, with or without pixels', async () => {
    const a = { crop: { left: 0, top: 0, width: 224, height: 224 } };
    const b = { crop: { left: 112, top: 0, width: 224, height: 224, flip: true } };
    const { pairs, gridA } = await client.match(a, b, { by: 'location', topGamma: 0, maxDistance: 17 });
    assert.equal(gridA.original, undefined);
    assert.ok(pairs.length >= 21);
    for (const pair of pairs) assert.ok(Math.hypot(pair.a.x - pair.b.x, pair.a.y - pair.b.y) <= 17);
    const pixels = await photo;
    const sent = await client.match(
      { pixels, ...a },
      { pixels, ...b },
      { by: 'location', topGamma: 0, maxDistance: 17 },
    );
    assert.deepEqual(sent.pairs, pairs);
    assert.deepEqual(sent.gridA.original, { width: 600, height: 400 });
  });

  test('by location: every policy needs only the size of the crop', async () => {
    const pixels = await photo;
    const crop = { left: 40, top: 30, width: 300, height: 200, flip: true };
    const kinds: Resize[] = [
      { kind: 'native' },
      { kind: 'shortestSide' },
      { kind: 'shortestSide', resize: 100, crop: 40 },
      { kind: 'fit', width: 80, height: 64 },
    ];
    for (const resize of kinds) {
      const image = { crop, resize };
      const sent = { ...image, pixels };
      const without = await client.match(image, image, { by: 'location' });
      const { gridA, pairs } = await client.match(sent, sent, { by: 'location' });
      assert.deepEqual(without.pairs, pairs);
      const { original, ...grid } = gridA;
      assert.deepEqual([without.gridA, original], [grid, { width: 600, height: 400 }]);
    }
  });

  test('a large match lets timers run, and an aborted one stops', async () => {
    const image = { pixels: gradient(64, 64), resize: { kind: 'fit', width: 360, height: 360 } } as const;
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    // 45 x 45 cells twice, 12 channels: 49 million products.
    const [first, second] = await Promise.all([client.match(image, image), client.match(image, image)]);
    clearInterval(timer);
    assert.deepEqual(second.pairs, first.pairs);
    assert.ok(ticks >= 10, `${ticks} ticks`);
    const gone = client.match(image, image, { signal: AbortSignal.timeout(20) });
    await assert.rejects(gone, VicreglError);
  });

  test('features of a broken model are INTERNAL', async () => {
    const engine = createFakeEngine({ manifest });
    const run: typeof engine.run = async (batch, wants) => {
      const outputs = await engine.run(batch, wants);
      outputs.maps_embedding?.data.fill(Number.NaN);
      return outputs;
    };
    const nan = createClientOver(createLocalTransport(createService({ models: [{ engine: { ...engine, run } }] })));
    await assert.rejects(
      nan.match(gradient(64, 64), gradient(64, 64)),
      failsWith('INTERNAL', /^a has a feature in cell 0 that is not finite/),
    );
    await nan.close();
  });

  test('errors name the field and the way out', async () => {
    const image = gradient(64, 64);
    const crop = { left: 0, top: 0, width: 32, height: 32 };
    await assert.rejects(
      client.match(image, image, { topGamma: 50 }),
      failsWith('INVALID_ARGUMENT', /top_gamma: 50 is more than the 49 cells/),
    );
    await assert.rejects(
      client.match(image, image, { ratio: 2 }),
      failsWith('INVALID_ARGUMENT', /by_features\.ratio: 2 is outside/),
    );
    await assert.rejects(
      client.match(image, Buffer.from('x')),
      failsWith('INVALID_ARGUMENT', /^b: image is of unknown format; send one of jpeg/),
    );
    await assert.rejects(
      client.match({ crop }, { pixels: image }, { by: 'location' }),
      failsWith('INVALID_ARGUMENT', /^b\.crop: missing/),
    );
    await assert.rejects(
      client.match({ crop: { ...crop, width: 0 } }, { crop }, { by: 'location' }),
      failsWith('INVALID_ARGUMENT', /^a\.crop: 0 x 32 is empty/),
    );
    await assert.rejects(
      client.match({ crop, resize: { kind: 'fit', width: 60, height: 56 } }, { crop }, { by: 'location' }),
      failsWith('INVALID_ARGUMENT', /^a: width is 60.*56 or 64/),
    );
    await assert.rejects(client.match(image, image, { topGamma: -1 }), failsWith('INVALID_ARGUMENT', /^topGamma: -1/));
    await assert.rejects(
      client.match({ crop, pixels: image }, { crop, pixels: await photo }, { by: 'location' }),
      failsWith('INVALID_ARGUMENT', /64 x 64 and 600 x 400 pixels are not one image/),
    );
    const cheap = clientOf({}, { ...defaultServeLimits, maxMatchProducts: 1000, maxLocationPairs: 1000 });
    await assert.rejects(
      cheap.match(image, image),
      failsWith('RESOURCE_EXHAUSTED', /products, over the limit of 1000 \(maxMatchProducts\)/),
    );
    await assert.rejects(
      cheap.match({ crop }, { crop }, { by: 'location' }),
      failsWith(
        'RESOURCE_EXHAUSTED',
        /7 x 7 cells by location compares 2401 pairs, over the limit of 1000 \(maxLocationPairs\)/,
      ),
    );
    await assert.rejects(cheap.match(image, image), { name: 'VicreglError', reason: 'TOO_LARGE' });
    await cheap.close();
  });
});

test('in a service, libvips does not render SVG', async () => {
  const client = clientOf();
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>');
  await assert.rejects(sharp(svg).raw().toBuffer(), /unsupported image format/);
  await client.close();
});

test('model: the facts of the manifest', async () => {
  const client = clientOf();
  const model = await client.model();
  assert.equal(model.name, 'tiny');
  assert.equal(model.stride, 8);
  assert.deepEqual(model.dimensions, { backbone: 16, localProjector: 12, expander: 20 });
  assert.deepEqual(model.training, { note: 'random weights, for tests' });
  await client.close();
});
