import sharp from 'sharp';
import type { RandomStream } from '../../../src/tensor/random.js';
import { GREY, PALETTE, pngChunk, writePng } from '../png.js';
import { carryFeatureRequest } from './carriers.js';
import { bytesOf, damaged, EITHER, type Maker, type MalformedCase, OK, pick, REFUSED } from './malformedCase.js';
import { announcedBomb } from './pngBombs.js';

/** Side in pixels of the image of all these requests. */
const SIDE = 24;
/** One of this number of bases is valid. Few are, because starting the thread that uses one takes a fifth of a second. */
const BASES_PER_RIGHT = 20;
/** Channels of the tiny model's map. */
const CHANNELS = 16;

const image = { raw: { width: SIDE, height: SIDE, rgb: Buffer.alloc(SIDE * SIDE * 3, 77) } };

const floats = (length: number, value: (i: number) => number): Buffer =>
  Buffer.from(Float32Array.from({ length }, (_, i) => value(i)).buffer);

const vector = (length: number, value: (i: number) => number = () => 0, shape: readonly number[] = [length]) => ({
  dtype: 'DATA_TYPE_FLOAT32',
  shape,
  data: floats(length, value),
});

/** Run lengths that together cover a number of pixels. */
function runsOver(pixels: number, random: RandomStream): number[] {
  const counts: number[] = [];
  for (let left = pixels; left > 0; left -= counts.at(-1)!) counts.push(Math.min(left, random.integer(60)));
  return counts;
}

/** Makers of masks, principal components and parts of maps: the options of ExtractFeatures and similar methods. */
export async function denseCases(): Promise<readonly Maker[]> {
  const size = { width: SIDE, height: SIDE };
  const grey = sharp(Buffer.alloc(SIDE * SIDE, 255), { raw: { ...size, channels: 1 } });
  const maskPng = await grey.clone().toColourspace('b-w').png().toBuffer();
  const values = Array.from({ length: SIDE * SIDE }, (_, i) => i % 2);
  const masks = [1, 2, 4, 8, 16].flatMap((bits) => [
    writePng({ ...size, bits, colour: GREY }, values, [pngChunk('gAMA', Buffer.of(0, 0, 39, 16))]),
    ...(bits === 16 ? [] : [writePng({ ...size, bits, colour: PALETTE }, values, [pngChunk('PLTE', Buffer.alloc(6))])]),
  ]);
  const others = {
    'a colour': await sharp(image.raw.rgb, { raw: { ...size, channels: 3 } })
      .png()
      .toBuffer(),
    'a JPEG': await grey.clone().toColourspace('b-w').jpeg().toBuffer(),
    'another size': await grey
      .clone()
      .resize(SIDE, SIDE + 1)
      .toColourspace('b-w')
      .png()
      .toBuffer(),
  };
  const ask = (kind: string, request: object, allowed: readonly string[], random: RandomStream): MalformedCase => ({
    kind,
    ...carryFeatureRequest({ image, ...request }, random),
    allowed,
  });
  const pool = (kind: string, regions: readonly object[], allowed: readonly string[], random: RandomStream) =>
    ask(kind, { pooling: { regions } }, allowed, random);
  const mask = (kind: string, form: object, allowed: readonly string[], random: RandomStream) =>
    pool(kind, [{ mask: form }], allowed, random);
  return [
    (random) => mask('bitmaps', { bitmap: { ...size, data: bytesOf(random, SIDE * SIDE) } }, OK, random),
    (random) => {
      const wrong = pick(random, [
        { ...size, data: bytesOf(random, SIDE * SIDE + pick(random, [-SIDE, -1, 1, 999])) },
        { width: SIDE + 1, height: SIDE, data: bytesOf(random, (SIDE + 1) * SIDE) },
        { width: 2 ** 31, height: 2 ** 31, data: bytesOf(random, 9) },
        { width: 0, height: 0, data: Buffer.alloc(0) },
      ]);
      return mask('wrong bitmaps', { bitmap: wrong }, REFUSED, random);
    },
    (random) => mask('run lengths', { runLengths: { ...size, counts: runsOver(SIDE * SIDE, random) } }, OK, random),
    (random) => {
      const counts = runsOver(SIDE * SIDE + 1, random);
      const wrong = pick(random, [
        { ...size, counts },
        { ...size, counts: [...counts, 2 ** 32 - 1] },
        { ...size, counts: Array.from({ length: 2000 }, () => 2 ** 32 - 1) },
        { ...size, counts, compressed: bytesOf(random, 4) },
        { width: 2 ** 32 - 1, height: 2 ** 32 - 1, counts },
        size,
      ]);
      return mask('wrong run lengths', { runLengths: wrong }, REFUSED, random);
    },
    (random) => {
      const compressed = Buffer.from(bytesOf(random, 1 + random.integer(200)).map((byte) => 48 + (byte & 63)));
      return mask('garbage run lengths', { runLengths: { ...size, compressed } }, EITHER, random);
    },
    (random) => mask('PNG masks of all sorts', { png: pick(random, masks) }, OK, random),
    (random) => mask('damaged mask PNG', { png: damaged(maskPng, random) }, EITHER, random),
    (random) => mask('mask PNG bomb', { png: announcedBomb(50_000 + random.integer(9999), 50_000) }, REFUSED, random),
    (random) => {
      const [what, png] = pick(random, Object.entries(others));
      return mask(`mask: ${what}`, { png }, REFUSED, random);
    },
    (random) => {
      const empty = pick(random, [[], [{}], [{ mask: {} }], [{ mask: { png: Buffer.alloc(0) } }]]);
      return pool('no region', empty, REFUSED, random);
    },
    (random) => {
      const edge = () => pick(random, [Number.NaN, Infinity, -Infinity, -1e30, 0, 3.5, SIDE, 1e30]);
      const box = { left: edge(), top: edge(), right: edge(), bottom: edge() };
      return random.integer(2) === 0
        ? pool('boxes at random', [{ box }], EITHER, random)
        : ask('regions at random', { region: box }, EITHER, random);
    },
    (random) => {
      const cell = () => ({ row: random.integer(9), column: pick(random, [0, 1, 6, 7, 2 ** 32 - 1]) });
      const cells = Array.from({ length: random.integer(4) }, cell);
      return ask('cells at random', { cells: { cells } }, EITHER, random);
    },
    (random) => {
      const stages = Array.from({ length: 1 + random.integer(3) }, () => pick(random, [0, 1, 2 ** 32 - 1]));
      return ask('stages at random', { stages }, [...EITHER, 'FAILED_PRECONDITION'], random);
    },
    (random) => {
      const maxResponseBytes = random.integer(8000);
      return ask('small answers', { maxResponseBytes }, ['OK', 'RESOURCE_EXHAUSTED'], random);
    },
    (random) => {
      const number = () => pick(random, [0, 1, 2, 3, 5, 64, 2 ** 31, 2 ** 32 - 1]);
      const upsample = pick(random, [
        {},
        { factor: number() },
        { size: { rows: number(), columns: number() } },
        { size: {} },
      ]);
      return ask('enlargements at random', { upsample }, [...EITHER, 'RESOURCE_EXHAUSTED'], random);
    },
    (random) => {
      const pixels = () => pick(random, [0, 1, 8, 16, 24, 32, 2 ** 31, 2 ** 32 - 1]);
      const overlap = pick(random, [{}, { overlap: pixels() }]);
      const tiles = { width: pixels(), height: pixels(), ...overlap };
      return ask('tiles at random', { tiles }, [...EITHER, 'RESOURCE_EXHAUSTED'], random);
    },
    (random) => ask('components at random', { pca: { components: random.integer(400) } }, EITHER, random),
    (random) => {
      const mean = vector(CHANNELS);
      // The first two axes.
      const components = vector(2 * CHANNELS, (i) => (i % (CHANNELS + 1) === 0 ? 1 : 0), [2, CHANNELS]);
      if (random.integer(BASES_PER_RIGHT) === 0) {
        return ask('PCA basis', { pca: { basis: { mean, components } } }, OK, random);
      }
      const basis = pick(random, [
        {},
        { mean },
        { mean: vector(CHANNELS + 1), components },
        { mean: vector(CHANNELS, () => Number.NaN), components },
        { mean: { ...mean, data: mean.data.subarray(1) }, components },
        { mean: { ...mean, dtype: 'DATA_TYPE_INT8' }, components },
        { mean, components: { ...components, shape: [2 ** 32 - 1, CHANNELS] } },
        { mean, components: { ...components, shape: [2 ** 31, 2 ** 31] } },
        { mean, components: { ...components, shape: [0, CHANNELS] } },
        { mean: vector(3), components: vector(6, () => 1, [2, 3]) },
      ]);
      return ask('wrong PCA basis', { pca: { basis } }, REFUSED, random);
    },
  ];
}
