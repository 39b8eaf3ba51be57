import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stream } from '../tensor/random.js';
import { noAugmentation } from './augment.js';
import { locationGrid } from './crop.js';
import { drawView, renderView, type ViewSpec } from './view.js';

/** Red is the column, green the row: the colour of a pixel shows its position in the original. */
function ramp(width: number, height: number) {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      data[(y * width + x) * 3] = x;
      data[(y * width + x) * 3 + 1] = y;
    }
  }
  return { width, height, data };
}

test('the colours of a view agree with its location grid, with and without a flip', async () => {
  const image = ramp(240, 200);
  const spec: ViewSpec = {
    size: 64,
    cells: 4,
    scale: [0.3, 0.8],
    aspect: [3 / 4, 4 / 3],
    augmentation: { ...noAugmentation, flipProbability: 0.5 },
  };
  const seen = new Set<boolean>();
  for (let i = 0; i < 8; i++) {
    const drawn = drawView(stream(5, i), image, spec);
    seen.add(drawn.crop.flip);
    const view = await renderView(image, drawn, spec.size);
    assert.equal(view.length, 64 * 64 * 3);
    const grid = locationGrid(drawn.crop, 4, 4);
    for (let cell = 0; cell < 16; cell++) {
      // The centre of a 16-pixel cell is between four pixels.
      const row = (cell >> 2) * 16 + 8;
      const column = (cell & 3) * 16 + 8;
      const mean = (channel: number) =>
        [0, 1]
          .flatMap((y) => [0, 1].map((x) => view[((row - y) * 64 + column - x) * 3 + channel]!))
          .reduce((a, b) => a + b) / 4;
      // The centre of pixel x of the ramp is x + 1/2.
      assert.ok(Math.abs(mean(1) + 0.5 - grid[cell * 2]!) < 1, `row of cell ${cell}`);
      assert.ok(Math.abs(mean(0) + 0.5 - grid[cell * 2 + 1]!) < 1, `column of cell ${cell}`);
    }
  }
  assert.equal(seen.size, 2, 'views with and without a flip occurred');
});
