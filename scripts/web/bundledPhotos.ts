import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { cornersOf } from '../../src/evaluate/homography/planarMap.js';
import { warp } from '../../src/evaluate/homography/warp.js';
import { decodeImage } from '../../src/image/decode.js';
import { homographyOfFour } from '../../src/match/homography/minimalSample.js';

/**
 * Makes the photographs of the page (src/web/public/photos) of those in test/fixtures/photos: small, since they are shipped.
 *   node dist/scripts/web/bundledPhotos.js
 */

const FROM = 'test/fixtures/photos';
const TO = 'src/web/public/photos';
const WIDTH = 360;

/** Where the corners of the tilted photograph lie in the upright one, as shares: top left, top right, bottom right, bottom left. */
const CORNERS = [
  [0.1, 0.02],
  [0.98, 0.14],
  [0.88, 0.98],
  [0.03, 0.86],
] as const;

/** The photograph as if the camera had moved. */
async function tilted(file: string) {
  const image = await decodeImage(await readFile(file));
  const { width, height } = image;
  const pairs = cornersOf(image).flatMap(({ x, y }, i) => [x, y, CORNERS[i]![0] * width, CORNERS[i]![1] * height]);
  const toOriginal = homographyOfFour(Float64Array.from(pairs), [0, 1, 2, 3])!;
  return sharp(warp(image, toOriginal, image).data, { raw: { width, height, channels: 3 } });
}

await mkdir(TO, { recursive: true });
const pictures = {
  'coffee.jpg': sharp(join(FROM, 'coffee.jpg')),
  'coffee-tilted.jpg': await tilted(join(FROM, 'coffee.jpg')),
  'cat.jpg': sharp(join(FROM, 'chelsea.png')),
  'astronaut.jpg': sharp(join(FROM, 'astronaut.jpg')),
};
for (const [name, picture] of Object.entries(pictures)) {
  const { size, width, height } = await picture
    .resize({ width: WIDTH, withoutEnlargement: true })
    .jpeg({ quality: 74, mozjpeg: true })
    .toFile(join(TO, name));
  console.log(`${name}: ${width} x ${height}, ${size} bytes`);
}
