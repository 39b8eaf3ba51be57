import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Homography, inverse, project } from '../../image/homography.js';
import { cornerError, fromPixelCentres, isInFront } from './planarMap.js';

const h = [0.76, -0.3, 225, 0.33, 1.01, -77, 3.5e-4, -1.4e-5, 1];
const near = (actual: { x: number; y: number }, x: number, y: number) =>
  assert.ok(Math.hypot(actual.x - x, actual.y - y) < 1e-9, `${actual.x}, ${actual.y}; not ${x}, ${y}`);

describe('homographies', () => {
  it('between pixel centres are the same map, half a pixel further', () => {
    const { x, y } = project(h, { x: 99.5, y: 199.5 });
    near(project(fromPixelCentres(h), { x: 100, y: 200 }), x + 0.5, y + 0.5);
  });

  it('have an inverse that maps points back', () => {
    near(project(inverse(h), project(h, { x: 31, y: 17 })), 31, 17);
  });

  it('have a corner error that is the mean distance of the four corners', () => {
    const size = { width: 100, height: 50 };
    const shifted = (x: number, y: number): Homography => [1, 0, x, 0, 1, y, 0, 0, 1];
    assert.equal(cornerError(shifted(3, 4), shifted(0, 0), size), 5);
    // Twice as wide: two corners stay, two move by 100.
    assert.equal(cornerError([2, 0, 0, 0, 1, 0, 0, 0, 1], shifted(0, 0), size), 50);
    // The corners on the left lie on the horizon.
    assert.equal(cornerError([1, 0, 0, 0, 1, 0, 1, 0, 0], shifted(0, 0), size), Number.POSITIVE_INFINITY);
  });

  it('leave a picture on one side of the horizon, or not', () => {
    const size = { width: 100, height: 50 };
    assert.equal(isInFront(h, size), true);
    assert.equal(
      isInFront(
        h.map((value) => -value),
        size,
      ),
      true,
    );
    assert.equal(isInFront([1, 0, 0, 0, 1, 0, -0.02, 0, 1], size), false);
    assert.equal(isInFront([1, 0, 0, 0, 1, 0, -0.01, 0, 1], size), false);
  });
});
