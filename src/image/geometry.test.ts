import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cropToOriginal } from './crop.js';
import { cellCentres, composeMaps, gridOf, invertMap, mapPoint } from './geometry.js';
import type { AffineMap } from './types.js';

const scale = fc.double({ min: 0.05, max: 20, noNaN: true });
const offset = fc.double({ min: -5000, max: 5000, noNaN: true });
const point = fc.record({ x: offset, y: offset });
const identity: AffineMap = { scaleX: 1, scaleY: 1, offsetX: 0, offsetY: 0 };
/** Any map, mirrored or not. */
const affineMap: fc.Arbitrary<AffineMap> = fc
  .record({ scaleX: scale, scaleY: scale, offsetX: offset, offsetY: offset, mirror: fc.boolean() })
  .map(({ mirror, ...map }) => (mirror ? { ...map, scaleX: -map.scaleX } : map));
const crop = fc.record({
  top: fc.nat(2000),
  left: fc.nat(2000),
  height: fc.integer({ min: 1, max: 2000 }),
  width: fc.integer({ min: 1, max: 2000 }),
  flip: fc.boolean(),
});

function close(actual: { x: number; y: number }, expected: { x: number; y: number }): void {
  const size = 1 + Math.max(Math.abs(expected.x), Math.abs(expected.y));
  assert.ok(
    Math.hypot(actual.x - expected.x, actual.y - expected.y) < 1e-9 * size * 1e3,
    JSON.stringify({ actual, expected }),
  );
}

describe('affine maps', () => {
  it('compose as functions, the inner one first', () => {
    fc.assert(
      fc.property(affineMap, affineMap, point, (outer, inner, { x, y }) => {
        const once = mapPoint(inner, x, y);
        close(mapPoint(composeMaps(outer, inner), x, y), mapPoint(outer, once.x, once.y));
      }),
    );
  });

  it('are undone by their inverse', () => {
    fc.assert(
      fc.property(affineMap, point, (map, { x, y }) => {
        const there = mapPoint(map, x, y);
        close(mapPoint(invertMap(map), there.x, there.y), { x, y });
      }),
    );
    assert.throws(() => invertMap({ ...identity, scaleX: 0 }), RangeError);
  });
});

describe('cropToOriginal', () => {
  it('maps the corners of the input to the corners of the crop, swapped left and right when flipped', () => {
    fc.assert(
      fc.property(
        crop,
        fc.integer({ min: 1, max: 512 }),
        fc.integer({ min: 1, max: 512 }),
        (rectangle, width, height) => {
          const map = cropToOriginal(rectangle, { width, height });
          const right = rectangle.left + rectangle.width;
          close(mapPoint(map, 0, 0), { x: rectangle.flip ? right : rectangle.left, y: rectangle.top });
          close(mapPoint(map, width, height), {
            x: rectangle.flip ? rectangle.left : right,
            y: rectangle.top + rectangle.height,
          });
        },
      ),
    );
  });

  it('mirrors columns: a flipped crop shows at x what the unflipped one shows at width - x', () => {
    fc.assert(
      fc.property(crop, fc.double({ min: 0, max: 224, noNaN: true }), (rectangle, x) => {
        const size = { width: 224, height: 224 };
        const plain = cropToOriginal({ ...rectangle, flip: false }, size);
        const flipped = cropToOriginal({ ...rectangle, flip: true }, size);
        close(mapPoint(flipped, x, 7), mapPoint(plain, 224 - x, 7));
      }),
    );
  });
});

describe('cell centres', () => {
  it('are in the middle of their cells', () => {
    const grid = gridOf({ image: { width: 96, height: 32 }, toOriginal: identity }, 32);
    assert.deepEqual([...cellCentres(grid)], [16, 16, 48, 16, 80, 16]);
  });

  it('agree with the affine maps of the cells and of the network input', () => {
    fc.assert(
      fc.property(affineMap, fc.nat(9), fc.nat(9), fc.constantFrom(8, 16, 32), (toOriginal, row, column, stride) => {
        const grid = gridOf({ image: { width: 10 * stride, height: 10 * stride }, toOriginal }, stride);
        const centre = mapPoint(grid.cellToPixel, column + 0.5, row + 0.5);
        close(centre, mapPoint(toOriginal, (column + 0.5) * stride, (row + 0.5) * stride));
        const centres = cellCentres(grid);
        const at = (row * 10 + column) * 2;
        close({ x: centres[at]!, y: centres[at + 1]! }, centre);
      }),
    );
  });

  it('of a crop stay inside the crop', () => {
    fc.assert(
      fc.property(crop, fc.integer({ min: 1, max: 8 }), (rectangle, n) => {
        const image = { width: n * 32, height: n * 32 };
        const centres = cellCentres(gridOf({ image, toOriginal: cropToOriginal(rectangle, image) }, 32));
        for (let i = 0; i < centres.length; i += 2) {
          assert.ok(centres[i]! > rectangle.left && centres[i]! < rectangle.left + rectangle.width);
          assert.ok(centres[i + 1]! > rectangle.top && centres[i + 1]! < rectangle.top + rectangle.height);
        }
      }),
    );
  });
});
