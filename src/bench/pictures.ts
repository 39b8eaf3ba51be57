import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { sniffFormat } from '../image/format.js';
import { stream } from '../tensor/random.js';

/** Pictures that are made where none are given. */
const MADE = 8;

/**
 * JPEG files of a photograph's size in bytes and of its cost to decode: smooth colours with grain, about 30 kB at
 * 384 x 256. The same on every machine.
 */
export async function madePictures(width = 384, height = 256, count = MADE): Promise<Buffer[]> {
  const pictures: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const random = stream(i, 'bench picture');
    const cells = { width: 24, height: 16, channels: 3 } as const;
    const colours = Uint8Array.from({ length: cells.width * cells.height * 3 }, () => 40 + random.integer(176));
    const grain = Uint8Array.from({ length: width * height * 3 }, () => 128 + Math.round(10 * random.normal()));
    const smooth = await sharp(colours, { raw: cells }).resize(width, height, { kernel: 'cubic' }).raw().toBuffer();
    const pixels = smooth.map((value, at) => value + grain[at]! - 128);
    pictures.push(
      await sharp(pixels, { raw: { width, height, channels: 3 } })
        .jpeg({ quality: 85 })
        .toBuffer(),
    );
  }
  return pictures;
}

/**
 * The picture files of a folder, as they are.
 * @throws Error where there is none.
 */
export async function readPictures(dir: string): Promise<Buffer[]> {
  const names = (await readdir(dir, { withFileTypes: true })).filter((entry) => entry.isFile()).map(({ name }) => name);
  const files = await Promise.all(names.sort().map((name) => readFile(join(dir, name))));
  const pictures = files.filter((file) => sniffFormat(file) !== undefined);
  if (pictures.length === 0) throw new Error(`${dir} has no picture that the service reads; give a folder that has`);
  return pictures;
}
