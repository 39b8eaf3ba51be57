import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stream } from './random.js';

test('equal arguments give equal numbers, and different arguments different ones', () => {
  const draw = (...labels: (string | number)[]) => {
    const s = stream(7, ...labels);
    return [s.uniform(0, 1), s.normal(), s.integer(1000), ...s.permutation(5)];
  };
  assert.deepEqual(draw('sample', 0, 3), draw('sample', 0, 3));
  assert.notDeepEqual(draw('sample', 0, 3), draw('sample', 3, 0));
  assert.notDeepEqual(draw('ab'), draw('a', 'b'));
  assert.notDeepEqual(draw(1), draw('1'));
});

test('the numbers of a stream are pinned, because resumed runs draw them again', () => {
  const s = stream(0, 'pinned');
  const drawn = [s.integer(1_000_000), s.integer(1_000_000), s.integer(1_000_000)];
  assert.deepEqual(drawn, [443_482, 781_737, 378_027]);
});

test('uniform, normal and bernoulli have the expected moments', () => {
  const s = stream(1, 'moments');
  const n = 20_000;
  const mean = (draw: () => number) => Array.from({ length: n }, draw).reduce((a, b) => a + b, 0) / n;
  assert.ok(Math.abs(mean(() => s.uniform(2, 4)) - 3) < 0.02);
  assert.ok(Math.abs(mean(() => s.normal())) < 0.03);
  assert.ok(Math.abs(mean(() => s.normal() ** 2) - 1) < 0.05);
  assert.ok(Math.abs(mean(() => (s.bernoulli(0.2) ? 1 : 0)) - 0.2) < 0.015);
  assert.equal(s.bernoulli(0), false);
  assert.equal(s.bernoulli(1), true);
});

test('truncatedNormal has absolute bounds', () => {
  const s = stream(1, 'truncated');
  const wide = Array.from({ length: 5000 }, () => s.truncatedNormal(0.02));
  assert.ok(Math.max(...wide) > 0.05, 'the default bounds of -2..2 do not truncate a std of 0.02');
  const narrow = Array.from({ length: 2000 }, () => s.truncatedNormal(1, -0.5, 0.25));
  assert.ok(narrow.every((value) => value >= -0.5 && value <= 0.25));
});

test('a permutation contains every integer once', () => {
  const order = stream(3, 'p').permutation(100);
  assert.notDeepEqual(
    [...order],
    [...order].sort((a, b) => a - b),
  );
  assert.deepEqual(
    [...order].sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, i) => i),
  );
});

test('errors name invalid arguments', () => {
  assert.throws(() => stream(0.5), /safe integers, got 0.5/);
  assert.throws(() => stream(0).integer(0), /at least 1, got 0/);
  assert.throws(() => stream(0).truncatedNormal(-1), /std > 0/);
});
