import sharp from 'sharp';
import type { RandomStream } from '../../src/tensor/random.js';
import { damagedFiles } from './damagedFiles.js';
import { carryImage, imageRequests, rightRequests } from './malformed/carriers.js';
import { denseCases } from './malformed/dense.js';
import { inferenceCases } from './malformed/inference.js';
import {
  ANY_REFUSAL,
  bytesOf,
  damaged,
  EITHER,
  type Maker,
  type MalformedCase,
  OK,
  pick,
  REFUSED,
} from './malformed/malformedCase.js';
import { announcedBomb, realBomb } from './malformed/pngBombs.js';
import { sideCases } from './malformed/sides.js';
import { streamCases } from './malformed/streams.js';
import { writeTiff } from './tiff.js';

/** Requests that are invalid, unusual or random bytes, each with its allowed statuses. */

/** Side of a square image just below the limit of 50 megapixels. */
const BOMB_SIDE = 7071;

const SVG = Buffer.from(
  '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
);
const XML_SVG = Buffer.from(`<?xml version="1.0"?>\n${SVG.toString()}`);
const PDF = Buffer.from('%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n');

const latin = (text: string) => Buffer.from(text, 'latin1');
/** Unsupported files that users send in practice. */
const otherFiles: readonly Buffer[] = [
  latin('\0\0\0\x18ftypheic\0\0\0\0mif1heic'),
  latin('\0\0\0\x18ftypisom\0\0\0\0isommp41'),
  latin('\xff\x0a\xfa\x1f\x01'),
  latin('\0\0\0\x0cjP  \r\n\x87\n'),
  latin('BM\x9a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0'),
  latin('8BPS\0\x01'),
  latin('<!doctype html><html></html>'),
  latin('{"error": 404}'),
  latin('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ'),
  latin('https://example.com/cat.jpg'),
];
const square = { width: 24, height: 24 };
const otherTiffs: readonly Buffer[] = [
  writeTiff(Buffer.alloc(24 * 24 * 4), { ...square, bits: 32, format: 3 }),
  writeTiff(Buffer.alloc(24 * 24 * 4), { ...square, bits: 32, format: 2 }),
  writeTiff(Buffer.alloc(24 * 24 * 3), { ...square, samples: 3, photometric: 8 }),
  writeTiff(Buffer.alloc(24 * 24), { ...square, photometric: 32803 }),
];
/** Random bytes, which are all valid codes in arithmetic coding. */
const faulty = damagedFiles().filter(({ from }) => from !== 'arithmetic.jpg');
const filesOf = (kind: RegExp) => faulty.filter(({ name }) => kind.test(name)).map(({ bytes }) => bytes);
const cutFiles = filesOf(/\.(jpg|png|webp|avif|tif): cut at/);
const harmlessFiles = filesOf(/: (harmless|whole)/);

/** Small images of every unusual form that must be read. */
async function oddPictures(): Promise<Record<string, Buffer>> {
  const noise = (width: number, height: number, channels: 3 | 4 = 3) =>
    sharp(
      Uint8Array.from({ length: width * height * channels }, (_, i) => (i * 2654435761) >>> 24),
      {
        raw: { width, height, channels },
      },
    );
  const frames = Uint8Array.from({ length: 16 * 48 * 3 }, (_, i) => (i * 40503) >>> 8);
  const animation = sharp(frames, { raw: { width: 16, height: 48, channels: 3, pageHeight: 16 } });
  return {
    '1x1': await noise(1, 1).png().toBuffer(),
    '1x1 jpeg': await noise(1, 1).jpeg().toBuffer(),
    '16-bit': await noise(24, 24).toColourspace('rgb16').png().toBuffer(),
    CMYK: await noise(24, 24).toColourspace('cmyk').jpeg().toBuffer(),
    grey: await noise(24, 24).greyscale().jpeg().toBuffer(),
    transparent: await noise(24, 24, 4).webp().toBuffer(),
    'animated gif': await animation.clone().gif({ loop: 0 }).toBuffer(),
    'animated webp': await animation.clone().webp({ loop: 0 }).toBuffer(),
    'EXIF-rotated': await noise(40, 20).jpeg().withMetadata({ orientation: 6 }).toBuffer(),
    'EXIF-mirrored': await noise(40, 20).jpeg().withMetadata({ orientation: 5 }).toBuffer(),
    tiff: await noise(24, 24).tiff().toBuffer(),
  };
}

/** A valid PNG of one colour with almost the maximum number of pixels, for every method that takes images. Each takes 150 MB to decode. */
export function realBombs(): readonly MalformedCase[] {
  const requests = imageRequests({ encoded: realBomb(BOMB_SIDE) });
  return requests.map((request) => ({ kind: 'real PNG bomb', ...request, allowed: OK }));
}

/** Makers of requests of the Open Inference Protocol. */
export async function malformedInferenceCases(): Promise<readonly Maker[]> {
  const { '16-bit': png, 'EXIF-rotated': jpeg, ...others } = await oddPictures();
  return inferenceCases([png!, jpeg!, ...Object.values(others)], jpeg!);
}

/** Makers of all kinds of cases. Each call of a maker returns another case. */
export async function malformedCases(): Promise<readonly Maker[]> {
  const odd = await oddPictures();
  const jpeg = odd['EXIF-rotated']!;
  const png = odd['16-bit']!;
  const carry = (random: RandomStream, kind: string, image: object, allowed: readonly string[]): MalformedCase => ({
    kind,
    ...carryImage(image, random),
    allowed,
  });
  const valid = rightRequests([png, jpeg]);
  const methods = Object.keys(valid);
  return [
    (random) =>
      carry(random, 'truncated JPEG', { encoded: jpeg.subarray(0, 4 + random.integer(jpeg.length - 40)) }, REFUSED),
    (random) =>
      carry(random, 'truncated PNG', { encoded: png.subarray(0, 8 + random.integer(png.length - 40)) }, REFUSED),
    (random) => carry(random, 'PNG bomb', { encoded: announcedBomb(50_000 + random.integer(9999), 50_000) }, REFUSED),
    (random) => carry(random, 'damaged JPEG', { encoded: damaged(jpeg, random) }, EITHER),
    (random) => carry(random, 'damaged PNG', { encoded: damaged(png, random) }, EITHER),
    (random) => {
      const [name, encoded] = pick(random, Object.entries(odd));
      return carry(random, name, { encoded }, OK);
    },
    (random) => carry(random, 'SVG', { encoded: pick(random, [SVG, XML_SVG]) }, REFUSED),
    (random) => carry(random, 'PDF', { encoded: PDF }, REFUSED),
    (random) => carry(random, 'file of another format', { encoded: pick(random, otherFiles) }, REFUSED),
    (random) => carry(random, 'TIFF that is not shown', { encoded: pick(random, otherTiffs) }, REFUSED),
    (random) => carry(random, 'file cut in its pixels', { encoded: pick(random, cutFiles) }, REFUSED),
    (random) => carry(random, 'odd and whole file', { encoded: pick(random, harmlessFiles) }, OK),
    (random) => carry(random, 'no picture', { encoded: bytesOf(random, random.integer(300)) }, REFUSED),
    (random) => carry(random, 'zero bytes', { encoded: Buffer.alloc(0) }, REFUSED),
    (random) => carry(random, 'no source', {}, REFUSED),
    (random) =>
      carry(
        random,
        'zero-size raw',
        { raw: { width: 0, height: random.integer(9), rgb: bytesOf(random, 3) } },
        REFUSED,
      ),
    (random) => {
      const [width, height] = [1 + random.integer(20), 1 + random.integer(20)];
      const off = pick(random, [-1, 1, 3, width * height]);
      return carry(
        random,
        'raw of a wrong length',
        { raw: { width, height, rgb: Buffer.alloc(width * height * 3 + off) } },
        REFUSED,
      );
    },
    (random) =>
      carry(
        random,
        'raw of huge sides',
        { raw: { width: 2 ** 31 + random.integer(999), height: 4, rgb: bytesOf(random, 12) } },
        REFUSED,
      ),
    (random) =>
      carry(
        random,
        'sizes at random',
        { encoded: png, fit: { width: 8 * random.integer(20), height: random.integer(300) } },
        EITHER,
      ),
    (random) => {
      const side = () => random.integer(18);
      return carry(
        random,
        'crops at random',
        { encoded: png, crop: { top: side(), left: side(), width: side(), height: side() } },
        EITHER,
      );
    },
    (random) => ({
      kind: 'garbage protobuf',
      method: pick(random, methods),
      bytes: bytesOf(random, 1 + random.integer(200)),
      allowed: ANY_REFUSAL.slice(1),
    }),
    (random) => {
      const method = pick(random, methods);
      return { kind: 'damaged message', method, bytes: damaged(valid[method]!, random), allowed: ANY_REFUSAL };
    },
    (random) => {
      const method = pick(random, methods);
      const bytes = valid[method]!.subarray(0, 1 + random.integer(valid[method]!.length - 1));
      return { kind: 'truncated message', method, bytes, allowed: [...EITHER, 'NOT_FOUND'] };
    },
    (random) => ({ kind: 'empty message', method: pick(random, methods), bytes: Buffer.alloc(0), allowed: REFUSED }),
    (random) => {
      const method = pick(random, ['GetModel', 'GetServerInfo', 'ListModels']);
      return { kind: 'garbage questions', method, bytes: bytesOf(random, random.integer(60)), allowed: ANY_REFUSAL };
    },
    ...(await denseCases()),
    ...sideCases(),
    ...streamCases(),
  ];
}
