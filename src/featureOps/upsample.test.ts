import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openGolden } from '../../test/golden/goldenFile.js';
import { runSync } from '../tensor/slices.js';
import type { Tensor } from '../tensor/tensor.js';
import { tensor } from '../tensor/tensor.js';
import { cutWindow, pickCells } from './selectCells.js';
import { type Upsampling, upsample, upsampleCells, upsampledGrid, upsampledSize } from './upsample.js';

const ramp = tensor(
  'float32',
  [3, 4, 2],
  Float32Array.from({ length: 24 }, (_, i) => (i * 7919) % 13),
);

describe('enlarging a map', () => {
  test("equals torch's interpolate, bilinear without align_corners, within 1e-5", async () => {
    const golden = await openGolden('upsample');
    const cases = golden.setting<(number | [number, number])[]>('by');
    assert.ok(cases.length >= 7);
    for (const [i, by] of cases.entries()) {
      const map = golden.tensor(`map.${i}`) as Tensor<'float32'>;
      const expected = golden.tensor(`enlarged.${i}`);
      const to: Upsampling = typeof by === 'number' ? { factor: by } : { rows: by[0], columns: by[1] };
      const size = upsampledSize({ rows: map.shape[0]!, columns: map.shape[1]! }, to);
      const enlarged = runSync(upsample(map, size));
      assert.deepEqual(enlarged.shape, expected.shape);
      for (const [at, value] of enlarged.data.entries()) {
        const wanted = Number(expected.data[at]);
        assert.ok(Math.abs(value - wanted) <= 1e-5, `case ${i}, element ${at}: ${value}, expected ${wanted}`);
      }
    }
  });

  test('has at most as many rows and columns as fit into a grid', () => {
    const largest = 2 ** 32 - 1;
    assert.deepEqual(upsampledSize({ rows: 5, columns: 3 }, { factor: largest / 5 }), {
      rows: largest,
      columns: (largest / 5) * 3,
    });
    const refused = { name: 'FeatureOpError', code: 'bad_size' };
    assert.throws(() => upsampledSize({ rows: 3, columns: 5 }, { factor: largest / 5 + 1 }), {
      ...refused,
      message:
        'factor 858993460: a map of 3 x 5 cells (rows x columns) would have 2576980380 x 4294967300, and at most 4294967295 ' +
        'rows and columns are possible; ask for a factor of at most 858993459',
    });
    assert.throws(() => upsampledSize({ rows: 14, columns: 1 }, { factor: largest }), refused);
    assert.throws(() => upsampledSize({ rows: 3, columns: 5 }, { rows: largest + 1, columns: 5 }), refused);
  });

  test('a window and single cells are those of the whole enlarged map', () => {
    const size = { rows: 8, columns: 11 };
    const whole = runSync(upsample(ramp, size));
    const window = { firstRow: 3, firstColumn: 5, rows: 4, columns: 6 };
    assert.deepEqual(runSync(upsample(ramp, size, window)), runSync(cutWindow(whole, window)));
    const cells = [
      { row: 7, column: 10 },
      { row: 0, column: 0 },
      { row: 7, column: 10 },
    ];
    assert.deepEqual(runSync(upsampleCells(ramp, size, cells)), runSync(pickCells(whole, cells)));
  });

  test('the enlarged grid covers the same part of the image, also of a mirrored one', () => {
    const cellToPixel = { scaleX: -30, scaleY: 20, offsetX: 300, offsetY: 10 };
    const grid = { rows: 3, columns: 4, stride: 32, cellToPixel };
    assert.deepEqual(upsampledGrid(grid, { rows: 6, columns: 12 }), {
      rows: 6,
      columns: 12,
      stride: 32,
      cellToPixel: { scaleX: -10, scaleY: 10, offsetX: 300, offsetY: 10 },
    });
  });

  test('a size below that of the map is rejected', () => {
    const grid = { rows: 3, columns: 4 };
    assert.throws(() => upsampledSize(grid, { rows: 3, columns: 3 }), {
      code: 'bad_size',
      message: /^3 rows and 3 columns: less than the map of 3 x 4 cells/,
    });
    assert.deepEqual(upsampledSize(grid, { rows: 3, columns: 9 }), { rows: 3, columns: 9 });
  });
});
