import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inverse, multiply, normalised, project } from './homography.js';

test('a product maps as its factors do, and an inverse maps back', () => {
  const a = [1.1, 0.2, 5, -0.1, 0.9, 3, 1e-3, -2e-3, 1];
  const b = [0, -1, 640, 1, 0, 0, 0, 0, 1];
  const { x, y } = project(multiply(a, b), { x: 12, y: 34 });
  const { x: u, y: v } = project(b, { x: 12, y: 34 });
  assert.deepEqual([u, v], [606, 12]);
  const { x: p, y: q } = project(a, { x: u, y: v });
  assert.ok(Math.hypot(x - p, y - q) < 1e-9);
  const { x: back, y: down } = project(inverse(a), { x: p, y: q });
  assert.ok(Math.hypot(back - u, down - v) < 1e-9);
  const { x: s, y: t } = project(normalised(inverse(a)), { x: p, y: q });
  assert.ok(Math.hypot(s - u, t - v) < 1e-9);
  assert.equal(normalised(inverse(a))[8], 1);
});
