import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Matrix, solve } from 'ml-matrix';
import sharp from 'sharp';

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

/** The homography from the unit square to four corners. */
function homographyTo(corners: readonly (readonly [number, number])[]): number[] {
  const unit = [
    [0, 0],
    [1, 0],
    [1, 1],
    [0, 1],
  ] as const;
  const rows = corners.flatMap(([u, v], i) => {
    const [x, y] = unit[i]!;
    return [
      [x, y, 1, 0, 0, 0, -u * x, -u * y],
      [0, 0, 0, x, y, 1, -v * x, -v * y],
    ];
  });
  const solved = solve(new Matrix(rows), Matrix.columnVector(corners.flat()));
  return [...solved.to1DArray(), 1];
}

/** The photograph as if the camera had moved: every pixel takes the colour of its place, between four neighbours. */
async function tilted(file: string) {
  const { data, info } = await sharp(file).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  const [a, b, c, d, e, f, g, h] = homographyTo(CORNERS) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const warped = Buffer.alloc(width * height * 3);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const [x, y] = [(column + 0.5) / width, (row + 0.5) / height];
      const w = g * x + h * y + 1;
      const [px, py] = [((a * x + b * y + c) / w) * width - 0.5, ((d * x + e * y + f) / w) * height - 0.5];
      const [left, top] = [Math.floor(px), Math.floor(py)];
      const [fx, fy] = [px - left, py - top];
      for (let channel = 0; channel < 3; channel++) {
        const at = (i: number, j: number) =>
          data[(Math.min(height - 1, Math.max(0, j)) * width + Math.min(width - 1, Math.max(0, i))) * 3 + channel]!;
        const upper = at(left, top) * (1 - fx) + at(left + 1, top) * fx;
        const lower = at(left, top + 1) * (1 - fx) + at(left + 1, top + 1) * fx;
        warped[(row * width + column) * 3 + channel] = Math.round(upper * (1 - fy) + lower * fy);
      }
    }
  }
  return sharp(warped, { raw: { width, height, channels: 3 } });
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
