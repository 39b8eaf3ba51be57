import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { connectionAges } from './connectionAge.js';

test('each connection reaches its own age, within 10 % of the configured one, whatever the clock of the day shows', () => {
  let now = 5000;
  let drawn = 0;
  const isOld = connectionAges(
    100,
    () => now,
    () => drawn,
  );
  const [early, late] = [new Socket(), new Socket()];
  assert.equal(isOld(early), false);
  drawn = 1;
  assert.equal(isOld(late), false);
  now = 5000 + 89_999;
  assert.deepEqual([isOld(early), isOld(late)], [false, false]);
  now = 5000 + 90_000;
  assert.deepEqual([isOld(early), isOld(late)], [true, false]);
  now = 5000 + 110_001;
  assert.deepEqual([isOld(early), isOld(late), isOld(new Socket())], [true, true, false]);
});

test('an age of 0 closes no connection', () => {
  let now = 0;
  const isOld = connectionAges(0, () => now);
  const socket = new Socket();
  assert.equal(isOld(socket), false);
  now = 1e12;
  assert.equal(isOld(socket), false);
});
