import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createTakeClock } from './takeClock.js';

const MiB = 1024 * 1024;

function start(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const stalls: (readonly [number, number])[] = [];
  const clock = createTakeClock(10, (bytes, seconds) => stalls.push([bytes, seconds]));
  return { clock, stalls, pass: (seconds: number) => t.mock.timers.tick(seconds * 1000) };
}

test('a message that is not taken in its time is told of, once', (t) => {
  const { clock, stalls, pass } = start(t);
  clock.written(500);
  clock.written(600);
  pass(9);
  assert.deepEqual(stalls, []);
  pass(1);
  assert.deepEqual(stalls, [[500, 10]]);
  pass(1000);
  assert.equal(stalls.length, 1);
});

test('large messages have more time', (t) => {
  const { clock, stalls, pass } = start(t);
  clock.written(4 * MiB);
  pass(39);
  assert.deepEqual(stalls, []);
  pass(1);
  assert.deepEqual(stalls, [[4 * MiB, 40]]);
});

test('messages that wait behind others on a slow line have their time one after the other', (t) => {
  const { clock, stalls, pass } = start(t);
  const taken = Array.from({ length: 5 }, () => clock.written(500));
  for (const each of taken) {
    pass(9);
    each();
  }
  pass(1000);
  assert.deepEqual(stalls, [], 'nothing waits');
  clock.written(500);
  pass(10);
  assert.equal(stalls.length, 1);
});

test('nothing is told once it is stopped', (t) => {
  const { clock, stalls, pass } = start(t);
  clock.written(500);
  clock.stop();
  clock.written(500);
  pass(1000);
  assert.deepEqual(stalls, []);
});
