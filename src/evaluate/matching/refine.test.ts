import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CellFeatures } from '../../match/features.js';
import { stream } from '../../tensor/random.js';
import { refinedPositions } from './refine.js';

function randomMap(rows: number, columns: number, channels: number, seed: number): CellFeatures {
  const random = stream(seed);
  const data = Float32Array.from({ length: rows * columns * channels }, () => random.normal());
  return { rows, columns, channels, data };
}

/** The vector of an upsampled map at a pixel, as torch.nn.functional.interpolate(mode='bilinear', align_corners=False). */
function upsampled(
  { rows, columns, channels, data }: CellFeatures,
  width: number,
  height: number,
  x: number,
  y: number,
) {
  const at = (pixel: number, pixels: number, cells: number) =>
    Math.min(cells - 1, Math.max(0, ((pixel + 0.5) * cells) / pixels - 0.5));
  const [u, v] = [at(x, width, columns), at(y, height, rows)];
  const [left, top] = [Math.floor(u), Math.floor(v)];
  return Array.from({ length: channels }, (_, k) => {
    let sum = 0;
    for (const [row, wy] of [
      [top, 1 - (v - top)],
      [Math.min(rows - 1, top + 1), v - top],
    ] as const) {
      for (const [column, wx] of [
        [left, 1 - (u - left)],
        [Math.min(columns - 1, left + 1), u - left],
      ] as const) {
        sum += wx * wy * data[(row * columns + column) * channels + k]!;
      }
    }
    return sum;
  });
}

const cosine = (a: readonly number[], b: readonly number[]) => {
  const product = (p: readonly number[], q: readonly number[]) => p.reduce((sum, value, k) => sum + value * q[k]!, 0);
  return product(a, b) / Math.sqrt(product(a, a) * product(b, b));
};

describe('refined positions', () => {
  for (const [rows, columns, width, height] of [
    [4, 5, 40, 32],
    [3, 3, 21, 27],
    [1, 4, 32, 8],
    [1, 1, 8, 8],
  ] as const) {
    it(`are the most similar pixels of the upsampled map around the cell: ${rows} x ${columns} to ${height} x ${width}`, () => {
      const [source, target] = [randomMap(rows, columns, 6, 1), randomMap(rows, columns, 6, 2)];
      const random = stream(3);
      const matches = Array.from({ length: rows * columns }, (_, cell) => ({
        source: cell,
        target: random.integer(rows * columns),
      }));
      const found = refinedPositions(source, target, matches, { width, height });
      for (const [i, match] of matches.entries()) {
        const vector = Array.from(source.data.subarray(match.source * 6, match.source * 6 + 6));
        const [row, column] = [Math.floor(match.target / columns), match.target % columns];
        let best = { similarity: Number.NEGATIVE_INFINITY, x: 0, y: 0 };
        for (let y = 0; y < height; y++) {
          for (let x = 0; x < width; x++) {
            const [dx, dy] = [((x + 0.5) * columns) / width - column - 0.5, ((y + 0.5) * rows) / height - row - 0.5];
            if (Math.max(Math.abs(dx), Math.abs(dy)) > 1) continue;
            const similarity = cosine(vector, upsampled(target, width, height, x, y));
            if (similarity > best.similarity + 1e-12) best = { similarity, x: x + 0.5, y: y + 0.5 };
          }
        }
        assert.deepEqual(found[i], { x: best.x, y: best.y }, `match ${i}`);
      }
    });
  }

  it('are the centre of the cell if all vectors are zero', () => {
    const map = { rows: 2, columns: 2, channels: 3, data: new Float32Array(12) };
    assert.deepEqual(refinedPositions(map, map, [{ source: 0, target: 3 }], { width: 16, height: 16 }), [
      { x: 12, y: 12 },
    ]);
  });
});
