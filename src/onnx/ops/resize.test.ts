import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, normals, numbers, relativeError } from '../../../test/support/graphs.js';
import { EXPORT_OPSET, Graph } from '../graph.js';
import { compareGradients } from '../rules/numericGradient.js';
import { GraphError } from '../shapes.js';
import { bilinearMatrix, enlargeBilinear, resizeBilinear } from './resize.js';
import { transpose } from './shape.js';

/** The definition, pixel by pixel: positions are clamped to the outermost centres. */
function reference(
  values: readonly number[],
  [batch, h, w, c]: readonly number[],
  rows: number,
  columns: number,
): number[] {
  const result: number[] = [];
  const at = (b: number, y: number, x: number, k: number) => values[((b * h! + y) * w! + x) * c! + k]!;
  const axis = (i: number, from: number, to: number) => {
    const position = Math.min(from - 1, Math.max(0, ((i + 0.5) * from) / to - 0.5));
    const below = Math.floor(position);
    return [below, Math.min(from - 1, below + 1), position - below] as const;
  };
  for (let b = 0; b < batch!; b++) {
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        const [y0, y1, dy] = axis(y, h!, rows);
        const [x0, x1, dx] = axis(x, w!, columns);
        for (let k = 0; k < c!; k++) {
          const top = at(b, y0, x0, k) * (1 - dx) + at(b, y0, x1, k) * dx;
          const bottom = at(b, y1, x0, k) * (1 - dx) + at(b, y1, x1, k) * dx;
          result.push(top * (1 - dy) + bottom * dy);
        }
      }
    }
  }
  return result;
}

describe('bilinear interpolation of maps', () => {
  for (const [shape, rows, columns] of [
    [[2, 3, 5, 4], 12, 20],
    [[1, 4, 3, 2], 7, 3],
    [[1, 6, 8, 3], 4, 5],
    [[2, 1, 1, 3], 5, 4],
  ] as const) {
    it(`of [${shape}] to ${rows} x ${columns} is the weighted mean of the four nearest cells`, async () => {
      const values = normals(shape, 1);
      const { y } = await evaluate((feed) => ({ y: resizeBilinear(feed(floats(shape, values)), rows, columns) }));
      assert.deepEqual(y.shape, [shape[0], rows, columns, shape[3]]);
      assert.ok(relativeError(numbers(y), reference(values, shape, rows, columns)) < 1e-6);
    });
  }

  it('keeps constants: every row of the matrix sums to 1', () => {
    for (const [from, to] of [
      [1, 9],
      [7, 3],
      [16, 64],
    ] as const) {
      const matrix = bilinearMatrix(from, to);
      for (let row = 0; row < to; row++) {
        const sum = matrix.subarray(row * from, (row + 1) * from).reduce((total, share) => total + share, 0);
        assert.ok(Math.abs(sum - 1) < 1e-12);
      }
    }
  });

  it('has the gradient of finite differences', async () => {
    const { error } = await compareGradients({
      shapes: [[2, 3, 4, 2]],
      dtype: 'float32',
      build: ([x]) => resizeBilinear(x!, 6, 7),
    });
    assert.ok(error < 1e-3, String(error));
  });

  it('by the operator, for dynamic sizes, equals that by matrix products', async () => {
    const shape = [2, 3, 5, 4];
    const results = await evaluate((feed) => {
      const x = feed(floats(shape, normals(shape, 3)), { shape: ['batch', 'rows', 'columns', 4] });
      const same = feed(floats(shape, normals(shape, 3)));
      return {
        operator: transpose(enlargeBilinear(transpose(x, [0, 3, 1, 2]), 8), [0, 2, 3, 1]),
        products: resizeBilinear(same, 24, 40),
      };
    }, EXPORT_OPSET);
    assert.ok(relativeError(numbers(results.operator), numbers(results.products)) < 1e-6);
  });

  it('rejects dynamic maps, and factors that are not integers', () => {
    const graph = new Graph();
    assert.throws(() => resizeBilinear(graph.input('x', 'float32', ['batch', 3, 4, 2]), 6, 8), GraphError);
    assert.throws(() => enlargeBilinear(graph.input('y', 'float32', [1, 2, 3, 4]), 1.5), /factor 1.5/);
  });
});
