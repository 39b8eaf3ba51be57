import { ImageError } from './imageError.js';

/** Checks the first directory of TIFF files (TIFF 6.0, BigTIFF), to reject contents that are not 8-bit or 16-bit pictures. */

/** Tags that are read. */
const TAGS = {
  subfile: 254,
  bits: 258,
  compression: 259,
  photometric: 262,
  stripOffsets: 273,
  samples: 277,
  stripBytes: 279,
  tileOffsets: 324,
  tileBytes: 325,
  subDirectories: 330,
  extraSamples: 338,
  sampleFormat: 339,
  dngVersion: 50706,
} as const;

/** Bytes of a value by the number of its type; 0 for types that these tags do not have. */
const TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8];
/** Maximum values read of a tag. A file of 50 megapixels does not have more strips of one row. */
const MAX_VALUES = 1 << 17;
/** Maximum entries of a directory; usual are some tens. */
const MAX_ENTRIES = 4096;

const READ_BITS = [1, 2, 4, 8, 16];
const CONVERT = 'convert it to a TIFF of 8 or 16 bits per sample, greyscale or RGB, or to PNG';
const RAW =
  'is a camera RAW file (DNG, NEF, CR2 or the like), which is not supported; develop it with a RAW converter and send the JPEG or TIFF';

const photometrics: ReadonlyMap<number, string> = new Map([
  [4, 'a transparency mask'],
  [8, 'CIELab'],
  [9, 'ICCLab'],
  [10, 'ITULab'],
  [32844, 'LogL (high dynamic range)'],
  [32845, 'LogLuv (high dynamic range)'],
]);
/** Colour samples of a pixel by photometric interpretation: grey, RGB, palette, CMYK, YCbCr. */
const COLOURS: ReadonlyMap<number, number> = new Map([
  [0, 1],
  [1, 1],
  [2, 3],
  [3, 1],
  [5, 4],
  [6, 3],
]);
/** Values of ExtraSamples that are alpha: premultiplied and not. 0 is any other data, such as near infrared or a spot colour. */
const ALPHA = [1, 2];
/** Photometric interpretations of camera RAW data: colour filter array and linear RAW. */
const CFA = 32803;
const LINEAR_RAW = 34892;

const READ_COMPRESSIONS: ReadonlySet<number> = new Set([1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 50000, 50001]);

function unsupported(what: string): ImageError {
  return new ImageError('unsupported_format', `image ${what}`);
}

function damaged(what: string): ImageError {
  return new ImageError('corrupt', `TIFF is damaged: ${what}; check that it was transferred completely`);
}

/** Reads numbers of either byte order, and offsets of either length, within the file. */
class Reader {
  readonly big: boolean;
  readonly #view: DataView;
  readonly #little: boolean;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#little = bytes[0] === 0x49;
    this.big = (this.#little ? bytes[2] : bytes[3]) === 0x2b;
  }

  get length(): number {
    return this.#view.byteLength;
  }

  /** A whole number of 1, 2, 4 or 8 bytes. @throws ImageError `corrupt` beyond the file. */
  number(at: number, bytes: number, what: string): number {
    if (at + bytes > this.length) throw damaged(`${what} is at byte ${at}, but the file has ${this.length} bytes`);
    if (bytes === 1) return this.#view.getUint8(at);
    if (bytes === 2) return this.#view.getUint16(at, this.#little);
    if (bytes === 4) return this.#view.getUint32(at, this.#little);
    return Number(this.#view.getBigUint64(at, this.#little));
  }
}

type Tags = ReadonlyMap<number, readonly number[]>;

const NAMED: ReadonlySet<number> = new Set(Object.values(TAGS));

/** The tags of the first directory that are read. */
function readTags(reader: Reader): Tags {
  const { big } = reader;
  const word = big ? 8 : 4;
  const directory = 'its directory';
  const start = reader.number(big ? 8 : 4, word, directory);
  const count = reader.number(start, big ? 8 : 2, directory);
  const tags = new Map<number, number[]>();
  const entryBytes = big ? 20 : 12;
  for (let i = 0; i < Math.min(count, MAX_ENTRIES); i++) {
    const at = start + (big ? 8 : 2) + i * entryBytes;
    const tag = reader.number(at, 2, directory);
    const bytes = TYPE_BYTES[reader.number(at + 2, 2, directory)] ?? 0;
    if (!NAMED.has(tag) || bytes === 0 || tags.has(tag)) continue;
    const values = Math.min(reader.number(at + 4, word, directory), MAX_VALUES);
    const inline = at + 4 + word;
    const from = values * bytes <= word ? inline : reader.number(inline, word, directory);
    tags.set(
      tag,
      Array.from({ length: values }, (_, v) => reader.number(from + v * bytes, bytes, `the value of tag ${tag}`)),
    );
  }
  return tags;
}

/** @throws ImageError `unsupported_format` for samples that are not 8-bit or 16-bit intensities. */
function checkSamples(tags: Tags): void {
  const bits = tags.get(TAGS.bits) ?? [1];
  const format = tags.get(TAGS.sampleFormat)?.[0] ?? 1;
  const samples = tags.get(TAGS.samples)?.[0] ?? 1;
  const width = bits[0] ?? 1;
  if (format === 3) {
    throw unsupported(
      `is a TIFF of ${width}-bit floating point, whose range is not defined (0 to 1, 0 to 255, or linear light without ` +
        `an upper limit); scale it to 8 or 16 bits per sample and send that`,
    );
  }
  if (format === 2) throw unsupported(`is a TIFF of ${width}-bit signed integers, which is not supported; ${CONVERT}`);
  if (format === 5 || format === 6)
    throw unsupported(`is a TIFF of complex numbers, which is not supported; ${CONVERT}`);
  if (bits.some((each) => each !== width)) {
    throw unsupported(`is a TIFF of ${bits.join(', ')} bits per sample, which is not supported; ${CONVERT}`);
  }
  if (!READ_BITS.includes(width))
    throw unsupported(`is a TIFF of ${width} bits per sample, which is not supported; ${CONVERT}`);
  if (width < 8 && samples > 1) {
    throw unsupported(`is a TIFF of ${samples} samples of ${width} bits per pixel, which is not supported; ${CONVERT}`);
  }
}

/**
 * Whether each pixel has a further sample that is not alpha. libvips would take it as alpha.
 * @throws ImageError `unsupported_format` for several further samples.
 */
function hasOtherSample(tags: Tags, colours: number): boolean {
  const samples = tags.get(TAGS.samples)?.[0] ?? 1;
  if (samples > colours + 1) {
    throw unsupported(
      `is a TIFF of ${samples} samples per pixel, of which ${colours} are its colours; one more is read, as alpha or not at all; ${CONVERT}`,
    );
  }
  return samples > colours && !ALPHA.includes(tags.get(TAGS.extraSamples)?.[0] ?? 0);
}

/** @throws ImageError `corrupt` if samples are located beyond the end of the file. */
function checkExtent(tags: Tags, length: number): void {
  for (const [offsets, bytes, what] of [
    [TAGS.stripOffsets, TAGS.stripBytes, 'strip'],
    [TAGS.tileOffsets, TAGS.tileBytes, 'tile'],
  ] as const) {
    const sizes = tags.get(bytes);
    for (const [i, offset] of tags.get(offsets)?.entries() ?? []) {
      const end = offset + (sizes?.[i] ?? 0);
      if (end > length) throw damaged(`${what} ${i} ends at byte ${end}, but the file has ${length} bytes`);
    }
  }
}

/**
 * Checks the first directory of a TIFF or BigTIFF file.
 * @returns whether the last sample of a pixel is neither a colour nor alpha
 * @throws ImageError `unsupported_format` naming the unsupported property: float and integer samples, several samples beside the colours,
 *   CIELab and other colour models, compressions, camera RAW files. `corrupt` if the directory or samples are located beyond the end of the file.
 */
export function checkTiff(bytes: Uint8Array): { readonly otherSample: boolean } {
  const reader = new Reader(bytes);
  const tags = readTags(reader);
  const photometric = tags.get(TAGS.photometric)?.[0] ?? 1;
  // Camera files start with a small preview, which would be mistaken for the picture.
  const preview = ((tags.get(TAGS.subfile)?.[0] ?? 0) & 1) === 1 && tags.has(TAGS.subDirectories);
  const canon = String.fromCharCode(...bytes.subarray(8, 10)) === 'CR' && !reader.big;
  if (tags.has(TAGS.dngVersion) || preview || canon || photometric === CFA || photometric === LINEAR_RAW) {
    throw unsupported(RAW);
  }
  const colours = COLOURS.get(photometric);
  if (colours === undefined) {
    const name = photometrics.get(photometric) ?? `colour model ${photometric}`;
    throw unsupported(`is a TIFF in ${name}, which is not supported; convert it to sRGB`);
  }
  checkSamples(tags);
  const otherSample = hasOtherSample(tags, colours);
  const compression = tags.get(TAGS.compression)?.[0] ?? 1;
  if (!READ_COMPRESSIONS.has(compression)) {
    throw unsupported(
      `is a TIFF of compression ${compression}, which is not supported; save it with LZW, Deflate, JPEG or no compression`,
    );
  }
  checkExtent(tags, reader.length);
  return { otherSample };
}
