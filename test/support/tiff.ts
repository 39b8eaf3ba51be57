/** Options of a TIFF file. */
export interface TiffOptions {
  readonly width: number;
  readonly height: number;
  /** Samples per pixel. Default 1. */
  readonly samples?: number;
  /** Bits per sample. Default 8. */
  readonly bits?: number;
  /** SampleFormat: 1 unsigned (the default), 2 signed, 3 floating point, 5 and 6 complex. */
  readonly format?: number;
  /** PhotometricInterpretation. Default 1 (black is zero), with three samples 2 (RGB). */
  readonly photometric?: number;
  readonly compression?: number;
  readonly bigEndian?: boolean;
  /** BigTIFF. */
  readonly big?: boolean;
  /** Additional tags with 32-bit integers. */
  readonly tags?: Readonly<Record<number, readonly number[]>>;
}

const LONG = 4;
const LONG_BYTES = 4;

/** A TIFF file with one strip. @param pixels pixel data in the byte order of the file */
export function writeTiff(pixels: Uint8Array, options: TiffOptions): Buffer {
  const { width, height, samples = 1, bits = 8, format = 1, compression = 1, big = false } = options;
  const little = options.bigEndian !== true;
  const word = big ? 8 : 4;
  const values: Record<number, readonly number[]> = {
    256: [width],
    257: [height],
    258: new Array(samples).fill(bits),
    259: [compression],
    262: [options.photometric ?? (samples === 3 ? 2 : 1)],
    273: [0],
    277: [samples],
    278: [height],
    279: [pixels.length],
    339: new Array(samples).fill(format),
    ...options.tags,
  };
  const tags = Object.entries(values).sort(([a], [b]) => Number(a) - Number(b));
  const start = big ? 16 : 8;
  const directory = (big ? 8 : 2) + tags.length * (big ? 20 : 12) + word;
  const outside = tags.map(([, list]) => (list.length * LONG_BYTES > word ? list.length * LONG_BYTES : 0));
  const pixelsAt = start + directory + outside.reduce((sum, bytes) => sum + bytes, 0);
  const file = Buffer.alloc(pixelsAt + pixels.length);
  const view = new DataView(file.buffer, file.byteOffset);
  const put = (at: number, bytes: number, value: number): void => {
    if (bytes === 2) view.setUint16(at, value, little);
    else if (bytes === 4) view.setUint32(at, value, little);
    else view.setBigUint64(at, BigInt(value), little);
  };
  file.write(little ? 'II' : 'MM', 'latin1');
  put(2, 2, big ? 43 : 42);
  if (big) put(4, 2, 8);
  put(big ? 8 : 4, word, start);
  put(start, big ? 8 : 2, tags.length);
  let free = start + directory;
  for (const [i, [tag, list]] of tags.entries()) {
    const at = start + (big ? 8 : 2) + i * (big ? 20 : 12);
    put(at, 2, Number(tag));
    put(at + 2, 2, LONG);
    put(at + 4, word, list.length);
    const inline = outside[i] === 0;
    if (!inline) put(at + 4 + word, word, free);
    const from = inline ? at + 4 + word : free;
    for (const [v, value] of list.entries()) put(from + v * LONG_BYTES, LONG_BYTES, tag === '273' ? pixelsAt : value);
    if (!inline) free += outside[i]!;
  }
  file.set(pixels, pixelsAt);
  return file;
}
