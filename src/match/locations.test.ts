import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cropToOriginal } from '../image/crop.js';
import { cellCentres, gridOf } from '../image/geometry.js';
import type { Crop } from '../image/types.js';
import { matchLocations } from './locations.js';

const image = { width: 224, height: 224 };
const centresOf = (crop: Crop) => cellCentres(gridOf({ image, toOriginal: cropToOriginal(crop, image) }, 32));

describe('matchLocations', () => {
  it('pairs the cells of a flipped view with their mirror images', () => {
    const crop = { top: 30, left: 50, height: 140, width: 210 };
    const plain = centresOf({ ...crop, flip: false });
    const flipped = centresOf({ ...crop, flip: true });
    const matches = matchLocations(plain, flipped, { order: 'source' });
    assert.deepEqual(
      matches.map(({ target }) => target),
      Array.from({ length: 49 }, (_, cell) => Math.floor(cell / 7) * 7 + (6 - (cell % 7))),
    );
    assert.ok(matches.every(({ distance }) => distance < 1e-9));
  });

  it('pairs crops without pixels at the largest coordinates of the contract as it does at the origin', () => {
    const targets = (left: number) => {
      const crop = { top: left, left, height: 300, width: 300, flip: false };
      const shifted = { ...crop, top: left + 10, left: left + 10 };
      return matchLocations(centresOf(crop), centresOf(shifted), { order: 'source' }).map(({ target }) => target);
    };
    assert.deepEqual(targets(4e9), targets(0));
  });

  it('keeps the topGamma nearest pairs, with distances in pixels, of ties the lower cells', () => {
    const a = Float64Array.of(0, 0, 10, 0, 20, 0);
    const b = Float64Array.of(3, 4, 13, 4, 20, 1, 13, -4);
    assert.deepEqual(matchLocations(a, b, { topGamma: 2 }), [
      { source: 2, target: 2, distance: 1 },
      { source: 0, target: 0, distance: 5 },
    ]);
    assert.deepEqual(
      matchLocations(a, b, { order: 'source' }).map(({ target }) => target),
      [0, 1, 2],
    );
  });

  it('rejects input that is not a list of points', () => {
    const one = Float64Array.of(1, 2);
    assert.throws(() => matchLocations(new Float64Array(0), one), { name: 'MatchError', message: /centresA holds 0/ });
    assert.throws(() => matchLocations(one, new Float64Array(3)), { name: 'MatchError', message: /centresB holds 3/ });
    assert.throws(() => matchLocations(one, Float64Array.of(1, Number.NaN)), { message: /centresB\[1\] is NaN/ });
    assert.throws(() => matchLocations(one, one, { topGamma: 2 }), { message: /topGamma 2 is more than the 1 cells/ });
  });
});
