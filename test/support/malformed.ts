import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { loadVicreglService } from '../../src/proto/load.js';
import type { RandomStream } from '../../src/tensor/random.js';

/** Requests that are wrong, odd or garbage, each with the statuses that may answer it. */

export interface MalformedCase {
  readonly kind: string;
  /** A method of the service. */
  readonly method: 'Embed' | 'ExtractFeatures' | 'Match' | 'EmbedBatch';
  readonly bytes: Buffer;
  /** Names of the gRPC statuses that are right. */
  readonly allowed: readonly string[];
}

/** Makes the n-th case of a kind. */
type Maker = (random: RandomStream) => MalformedCase;

const OK = ['OK'];
const REFUSED = ['INVALID_ARGUMENT'];
const EITHER = ['OK', 'INVALID_ARGUMENT'];
/** Bytes changed at random may name a model, a space or a limit on the answer. */
const ANY_REFUSAL = ['OK', 'INVALID_ARGUMENT', 'NOT_FOUND', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION'];

function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body) >>> 0, 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}

/** A PNG of a few bytes whose header announces billions of pixels. */
function pngBomb(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    pngChunk('IHDR', header),
    pngChunk('IDAT', Buffer.alloc(64)),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

function bytesOf(random: RandomStream, length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, () => random.integer(256)));
}

function damaged(bytes: Buffer, random: RandomStream): Buffer {
  const copy = Buffer.from(bytes);
  for (let i = 0; i <= random.integer(8); i++) copy[random.integer(copy.length)] = random.integer(256);
  return copy;
}

const SVG = Buffer.from(
  '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
);
const XML_SVG = Buffer.from(`<?xml version="1.0"?>\n${SVG.toString()}`);
const PDF = Buffer.from('%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n');

/** Small pictures of every odd sort that is to be read. */
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

/** Makers of all kinds of cases; each call of one gives another case. */
export async function malformedCases(): Promise<readonly Maker[]> {
  const definition = loadVicreglService().service;
  const odd = await oddPictures();
  const jpeg = odd['EXIF-rotated']!;
  const png = odd['16-bit']!;
  const embed = (kind: string, image: object, allowed: readonly string[]): MalformedCase => ({
    kind,
    method: 'Embed',
    bytes: definition.Embed.requestSerialize({ image }),
    allowed,
  });
  const pick = <T>(random: RandomStream, list: readonly T[]): T => list[random.integer(list.length)]!;
  const methods = ['Embed', 'ExtractFeatures', 'Match', 'EmbedBatch'] as const;
  const valid = {
    Embed: definition.Embed.requestSerialize({ image: { encoded: png } }),
    ExtractFeatures: definition.ExtractFeatures.requestSerialize({ image: { encoded: jpeg } }),
    Match: definition.Match.requestSerialize({ a: { image: { encoded: png } }, b: { image: { encoded: jpeg } } }),
    EmbedBatch: definition.EmbedBatch.requestSerialize({ requests: [{ image: { encoded: png } }] }),
  };
  return [
    (random) => embed('truncated JPEG', { encoded: jpeg.subarray(0, 4 + random.integer(jpeg.length - 40)) }, REFUSED),
    (random) => embed('truncated PNG', { encoded: png.subarray(0, 8 + random.integer(png.length - 40)) }, REFUSED),
    (random) => embed('PNG bomb', { encoded: pngBomb(50_000 + random.integer(9999), 50_000) }, REFUSED),
    (random) => embed('damaged JPEG', { encoded: damaged(jpeg, random) }, EITHER),
    (random) => embed('damaged PNG', { encoded: damaged(png, random) }, EITHER),
    (random) => {
      const [name, encoded] = pick(random, Object.entries(odd));
      return embed(name, { encoded }, OK);
    },
    (random) => embed('SVG', { encoded: pick(random, [SVG, XML_SVG]) }, REFUSED),
    () => embed('PDF', { encoded: PDF }, REFUSED),
    (random) => embed('no picture', { encoded: bytesOf(random, random.integer(300)) }, REFUSED),
    () => embed('zero bytes', { encoded: Buffer.alloc(0) }, REFUSED),
    () => embed('no source', {}, REFUSED),
    (random) =>
      embed('zero-size raw', { raw: { width: 0, height: random.integer(9), rgb: bytesOf(random, 3) } }, REFUSED),
    (random) => {
      const [width, height] = [1 + random.integer(20), 1 + random.integer(20)];
      const off = pick(random, [-1, 1, 3, width * height]);
      return embed(
        'raw of a wrong length',
        { raw: { width, height, rgb: Buffer.alloc(width * height * 3 + off) } },
        REFUSED,
      );
    },
    (random) =>
      embed(
        'raw of huge sides',
        { raw: { width: 2 ** 31 + random.integer(999), height: 4, rgb: bytesOf(random, 12) } },
        REFUSED,
      ),
    (random) =>
      embed(
        'sizes at random',
        { encoded: png, fit: { width: 8 * random.integer(20), height: random.integer(300) } },
        EITHER,
      ),
    (random) => {
      const side = () => random.integer(18);
      return embed(
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
      return { kind: 'damaged message', method, bytes: damaged(valid[method], random), allowed: ANY_REFUSAL };
    },
    (random) => {
      const method = pick(random, methods);
      const bytes = valid[method].subarray(0, 1 + random.integer(valid[method].length - 1));
      return { kind: 'truncated message', method, bytes, allowed: ['INVALID_ARGUMENT', 'NOT_FOUND'] };
    },
    () => ({ kind: 'empty message', method: 'Match', bytes: Buffer.alloc(0), allowed: REFUSED }),
  ];
}
