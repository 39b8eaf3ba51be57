import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inverted, multiply, normalised, project } from './projective.js';

test('a product maps as its factors do, and an inverse maps back', () => {
  const a = [1.1, 0.2, 5, -0.1, 0.9, 3, 1e-3, -2e-3, 1];
  const b = [0, -1, 640, 1, 0, 0, 0, 0, 1];
  const [x, y] = project(multiply(a, b), 12, 34);
  const [u, v] = project(b, 12, 34);
  assert.deepEqual([u, v], [606, 12]);
  const [p, q] = project(a, u, v);
  assert.ok(Math.hypot(x - p, y - q) < 1e-9);
  const [back, down] = project(inverted(a), p, q);
  assert.ok(Math.hypot(back - u, down - v) < 1e-9);
  const [s, t] = project(normalised(inverted(a)), p, q);
  assert.ok(Math.hypot(s - u, t - v) < 1e-9);
  assert.equal(normalised(inverted(a))[8], 1);
});
