import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { scopedQueueOf, sharedParts } from '../../../../test/support/serveContext.js';
import { tinyManifest } from '../../../../test/support/tinyModel.js';
import { createFakeEngine } from '../../../engine/fakeEngine.js';
import type { Mask__Output } from '../../../proto/generated/vicregl/v1/Mask.js';
import type { PoolingRegion__Output } from '../../../proto/generated/vicregl/v1/PoolingRegion.js';
import type { Call } from '../../call/call.js';
import { createPhaseRecorder } from '../../call/phases.js';
import { defaultServeLimits, type ServeLimits } from '../../config/serveLimits.js';
import type { ServeContext } from '../context.js';
import { readRegions, regionBytes } from './regions.js';

const engine = createFakeEngine({ manifest: { ...tinyManifest, files: {} } });
const original = { width: 40, height: 30 };
const call = { signal: new AbortController().signal, observe: () => {} };
const maps = [10, 5].map((pitch) => ({
  channels: 8,
  usedGrid: {
    rows: original.height / pitch,
    columns: original.width / pitch,
    stride: 32,
    cellToPixel: { scaleX: pitch, scaleY: pitch, offsetX: 0, offsetY: 0 },
  },
}));

/** A context that counts the masks that are decoded. */
function counting(limits: Partial<ServeLimits> = {}) {
  const own = { ...defaultServeLimits, ...limits };
  const parts = sharedParts(own);
  let decoded = 0;
  const decoder: typeof parts.decoder = {
    ...parts.decoder,
    mask(...args) {
      decoded++;
      return parts.decoder.mask(...args);
    },
  };
  const context: ServeContext = { engine, queue: scopedQueueOf(engine), ...parts, decoder, limits: own };
  return { context, decoded: () => decoded };
}

const pixels = Uint8Array.from({ length: original.width * original.height }, (_, i) => Number(i % 40 < 15));
const region = (mask: Mask__Output): PoolingRegion__Output => ({ mask, shape: 'mask' });
const png = async (bits: 8 | 16): Promise<PoolingRegion__Output> => {
  const raw = { ...original, channels: 1 } as const;
  // A value of 1 in 16 bits would be lost in 8 bits.
  const picture = bits === 8 ? sharp(pixels, { raw }) : sharp(Uint16Array.from(pixels), { raw });
  const encoded = picture.toColourspace(bits === 8 ? 'b-w' : 'grey16').png();
  return region({ png: await encoded.toBuffer(), form: 'png' });
};
const bitmap = region({ bitmap: { ...original, data: Buffer.from(pixels) }, form: 'bitmap' });
const lengths = (counts: number[], compressed = ''): PoolingRegion__Output =>
  region({ runLengths: { ...original, counts, compressed: Buffer.from(compressed) }, form: 'runLengths' });

test('a PNG mask is decoded once for any number of maps', async () => {
  const { context, decoded } = counting();
  const regions = [await png(8), await png(16), bitmap, lengths([0, 450, 750])];
  const weights = await readRegions(context, regions, maps, original, call);
  assert.equal(decoded(), 2);
  assert.deepEqual(
    weights.map((ofMap) => ofMap.map(({ cells }) => cells.length)),
    [new Array(4).fill(6), new Array(4).fill(18)],
  );
  for (const ofMap of weights) {
    for (const { coverage, weights: shares } of ofMap) {
      assert.equal(coverage, 1);
      assert.ok(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 1) < 1e-9);
    }
  }
});

test('the pixels of all masks of a request are limited, and each run length counts as one', async () => {
  const { context, decoded } = counting({ maskPixels: 2500 });
  const read = (regions: PoolingRegion__Output[]) => readRegions(context, regions, maps, original, call);
  const file = await png(8);
  await read([bitmap, file, lengths([0, 450, 750])]);
  assert.equal(decoded(), 1);
  const message = /^pooling: the masks are 3600 pixels .* over the limit of 2500 \(maskPixels\); send run lengths/;
  await assert.rejects(read([file, bitmap, file]), { code: 'too_large', message });
  const long = lengths([], '0'.repeat(2501));
  await assert.rejects(read([long]), { code: 'too_large', message: /the masks are 2501 pixels/ });
  assert.equal(decoded(), 1, 'before any is decoded');
  await read(new Array(50).fill(lengths([0, 450, 750])));
});

test('regions that exceed the limit of pooling products fail as soon as they reach it', async () => {
  const { context, decoded } = counting({ maxReduceProducts: 18 * 8 });
  await assert.rejects(readRegions(context, [bitmap, bitmap, await png(8)], maps, original, call), {
    code: 'too_large',
    message: /^pooling: the cells under the regions and 8 channels are 288 products or more, over the limit of 144/,
  });
  assert.equal(decoded(), 0);
});

test('cells count once for each rectangle that touches them, and are limited as the pixels of masks', async () => {
  const { context } = counting({ maskPixels: 10_000 });
  const grid = {
    rows: 2000,
    columns: 1,
    stride: 32,
    cellToPixel: { scaleX: original.width, scaleY: original.height / 2000, offsetX: 0, offsetY: 0 },
  };
  const thin = [{ usedGrid: grid, channels: 8 }];
  const whole = lengths([0, original.width * original.height]);
  await readRegions(context, [whole], thin, original, call);
  await assert.rejects(readRegions(context, new Array(10).fill(whole), thin, original, call), {
    code: 'too_large',
    message:
      /^pooling: the rectangles of the regions touch \d+ cells or more .* over the limit of 10000 \(maskPixels\); ask for/,
  });
});

test('the bytes of the weights are those of the cells under boxes, of all for a mask, and no more than products allow', () => {
  const { context } = counting({ maxReduceProducts: 8 * 1000 });
  const usedGrid = { rows: 10, columns: 10, stride: 32, cellToPixel: { scaleX: 1, scaleY: 1, offsetX: 0, offsetY: 0 } };
  const box = (right: number): PoolingRegion__Output => ({ box: { left: 0, right, top: 0, bottom: 2 }, shape: 'box' });
  const bytes = (regions: PoolingRegion__Output[]) => regionBytes(context, regions, [{ usedGrid, channels: 8 }]);
  assert.equal(bytes([box(3)]), 6 * 12 + 800);
  assert.equal(bytes([box(3), bitmap]), 106 * 12 + 800);
  assert.equal(bytes(new Array(100).fill(bitmap)), 1000 * 12 + 800);
  assert.throws(() => bytes([bitmap, box(Number.NaN)]), {
    message: /^pooling\.regions\[1\]\.box: left 0, top 0, right NaN/,
  });
});

test('PNG masks pass the same gate as images: with a full queue they are rejected or wait, and an abort removes them', async () => {
  const { context, decoded } = counting({ queueImages: 2 });
  const { decoding } = context.admission;
  const file = await png(8);
  const read = (own: Partial<Call> = {}) => readRegions(context, [file], maps, original, { ...call, ...own });
  let free = (): void => {};
  const image = decoding.run(call, () => new Promise<void>((resolve) => (free = resolve)));
  const controller = new AbortController();
  const gone = assert.rejects(read({ signal: controller.signal }), /gave up/);
  const ofStream = read({ waitsForCapacity: true });
  await assert.rejects(read(), {
    code: 'overloaded',
    limit: { name: 'queueImages', value: 2 },
    message: 'the queue is full: 2 images and masks wait to be decoded (queueImages: 2); try again later',
  });
  controller.abort(new Error('gave up'));
  await gone;
  assert.equal(decoded(), 0, 'an image is being decoded');
  free();
  await Promise.all([image, ofStream]);
  assert.equal(decoded(), 1, 'that of the call that gave up was never decoded');
});

test('a PNG mask waits for its slot in the phase wait, and is decoded in the phase decode; its weights are encode', async (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const { context } = counting();
  const { decoder } = context;
  const slow: typeof context = {
    ...context,
    decoder: {
      ...decoder,
      mask(...args) {
        now += 5000;
        return decoder.mask(...args);
      },
    },
  };
  let free = (): void => {};
  const image = context.admission.decoding.run(call, () => new Promise<void>((resolve) => (free = resolve)));
  const reports: string[] = [];
  const { observe, seconds, finish } = createPhaseRecorder((phase) => reports.push(phase));
  const file = await png(8);
  const weights = readRegions(slow, [file, bitmap, file], maps, original, { ...call, observe });
  now += 3000;
  free();
  await Promise.all([image, weights]);
  assert.deepEqual(Object.fromEntries(seconds), { wait: 3, decode: 10, encode: 0 });
  finish();
  assert.deepEqual(reports, ['decode', 'decode', 'wait', 'encode'], 'decode once for each PNG mask');
});
