import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { stream } from '../../src/tensor/random.js';

/** Writes noisy images of 20 x 20 pixels into the folders `red` and `blue`: two classes that differ in colour. */
export async function writeColouredImages(folder: string, perClass: number): Promise<void> {
  const random = stream(1, 'colours');
  for (const [name, channel] of [
    ['red', 0],
    ['blue', 2],
  ] as const) {
    await mkdir(join(folder, name), { recursive: true });
    for (let i = 0; i < perClass; i++) {
      const pixels = Uint8Array.from({ length: 20 * 20 * 3 }, (_, at) =>
        at % 3 === channel ? 200 + random.integer(56) : random.integer(90),
      );
      const image = sharp(pixels, { raw: { width: 20, height: 20, channels: 3 } });
      await image.png().toFile(join(folder, name, `${i}.png`));
    }
  }
}
