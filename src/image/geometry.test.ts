import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cropToOriginal } from './crop.js';
import {
  cellCentres,
  cellToOriginal,
  composePixelMaps,
  identityPixelMap,
  invertPixelMap,
  mapPoint,
} from './geometry.js';
import type { PixelMap } from './types.js';

const scale = fc.double({ min: 0.05, max: 20, noNaN: true });
const offset = fc.double({ min: -5000, max: 5000, noNaN: true });
const point = fc.record({ x: offset, y: offset });
/** Any map, mirrored or not. */
const pixelMap: fc.Arbitrary<PixelMap> = fc
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

describe('pixel maps', () => {
  it('compose as functions do, inner first', () => {
    fc.assert(
      fc.property(pixelMap, pixelMap, point, (outer, inner, { x, y }) => {
        const once = mapPoint(inner, x, y);
        close(mapPoint(composePixelMaps(outer, inner), x, y), mapPoint(outer, once.x, once.y));
      }),
    );
  });

  it('come back by their inverse', () => {
    fc.assert(
      fc.property(pixelMap, point, (map, { x, y }) => {
        const there = mapPoint(map, x, y);
        close(mapPoint(invertPixelMap(map), there.x, there.y), { x, y });
      }),
    );
    assert.throws(() => invertPixelMap({ ...identityPixelMap, scaleX: 0 }), RangeError);
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
  it('lie in the middle of their cells', () => {
    assert.deepEqual([...cellCentres(1, 3, 32, identityPixelMap)], [16, 16, 48, 16, 80, 16]);
  });

  it('agree with the cell map and with the pixel map', () => {
    fc.assert(
      fc.property(pixelMap, fc.nat(9), fc.nat(9), fc.constantFrom(8, 16, 32), (map, row, col, stride) => {
        const expected = mapPoint(map, (col + 0.5) * stride, (row + 0.5) * stride);
        close(mapPoint(cellToOriginal(map, stride), col, row), expected);
        const centres = cellCentres(10, 10, stride, map);
        assert.equal(centres[(row * 10 + col) * 2], Math.fround(mapPoint(cellToOriginal(map, stride), col, row).x));
        assert.equal(centres[(row * 10 + col) * 2 + 1], Math.fround(mapPoint(cellToOriginal(map, stride), col, row).y));
      }),
    );
  });

  it('of a crop stay inside the crop', () => {
    fc.assert(
      fc.property(crop, fc.integer({ min: 1, max: 8 }), (rectangle, n) => {
        const centres = cellCentres(n, n, 32, cropToOriginal(rectangle, { width: n * 32, height: n * 32 }));
        for (let i = 0; i < centres.length; i += 2) {
          assert.ok(centres[i]! > rectangle.left && centres[i]! < rectangle.left + rectangle.width);
          assert.ok(centres[i + 1]! > rectangle.top && centres[i + 1]! < rectangle.top + rectangle.height);
        }
      }),
    );
  });
});
