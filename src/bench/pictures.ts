import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { sniffFormat } from '../image/format.js';
import { stream } from '../tensor/random.js';

/** Default number of generated pictures. */
const DEFAULT_COUNT = 8;

/**
 * Generates JPEG files with a size and decoding time similar to photographs: smooth colours with noise, about 30 kB at 384 x 256
 * pixels. They are the same on every machine.
 */
export async function madePictures(width = 384, height = 256, count = DEFAULT_COUNT): Promise<Buffer[]> {
  const pictures: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const random = stream(i, 'bench picture');
    const cells = { width: 24, height: 16, channels: 3 } as const;
    const colours = Uint8Array.from({ length: cells.width * cells.height * 3 }, () => 40 + random.integer(176));
    const noise = Uint8Array.from({ length: width * height * 3 }, () => 128 + Math.round(10 * random.normal()));
    const smooth = await sharp(colours, { raw: cells }).resize(width, height, { kernel: 'cubic' }).raw().toBuffer();
    const pixels = smooth.map((value, at) => value + noise[at]! - 128);
    pictures.push(
      await sharp(pixels, { raw: { width, height, channels: 3 } })
        .jpeg({ quality: 85 })
        .toBuffer(),
    );
  }
  return pictures;
}

/**
 * Reads the picture files of a folder, without decoding them.
 * @throws Error if there are none.
 */
export async function readPictures(dir: string): Promise<Buffer[]> {
  const names = (await readdir(dir, { withFileTypes: true })).filter((entry) => entry.isFile()).map(({ name }) => name);
  const files = await Promise.all(names.sort().map((name) => readFile(join(dir, name))));
  const pictures = files.filter((file) => sniffFormat(file) !== undefined);
  if (pictures.length === 0)
    throw new Error(`${dir} has no picture in a supported format; give a folder with pictures`);
  return pictures;
}
