import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createWriteStallTimer, type WriteStall } from './writeStall.js';

const MiB = 1024 * 1024;

function start(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const stalls: WriteStall[] = [];
  const timer = createWriteStallTimer(10, (stall) => stalls.push(stall));
  return { timer, stalls, pass: (seconds: number) => t.mock.timers.tick(seconds * 1000) };
}

test('a message that is not written in time is reported once', (t) => {
  const { timer, stalls, pass } = start(t);
  timer.written(500);
  timer.written(600);
  pass(9);
  assert.deepEqual(stalls, []);
  pass(1);
  assert.deepEqual(stalls, [{ bytes: 500, seconds: 10, missing: 'whole' }]);
  pass(1000);
  assert.equal(stalls.length, 1);
});

test('a large message of which slices are taken gets more time, up to that of its size', (t) => {
  const { timer, stalls, pass } = start(t);
  timer.written(4 * MiB);
  for (let i = 0; i < 4; i++) {
    pass(9);
    timer.progress();
  }
  pass(3);
  assert.deepEqual(stalls, []);
  pass(1);
  assert.deepEqual(stalls, [{ bytes: 4 * MiB, seconds: 40, missing: 'whole' }]);
});

test('a large message of which nothing more is taken has the time of a small one', (t) => {
  const { timer, stalls, pass } = start(t);
  timer.written(64 * MiB);
  for (let i = 0; i < 3; i++) {
    pass(9);
    timer.progress();
  }
  pass(9);
  assert.deepEqual(stalls, []);
  pass(1);
  assert.deepEqual(stalls, [{ bytes: 64 * MiB, seconds: 10, missing: 'progress' }]);
  timer.progress();
  pass(1000);
  assert.equal(stalls.length, 1);
});

test('progress of a small message, or of none, does not change its time', (t) => {
  const { timer, stalls, pass } = start(t);
  timer.progress();
  pass(1000);
  timer.written(MiB);
  pass(9);
  timer.progress();
  pass(1);
  assert.deepEqual(stalls, [{ bytes: MiB, seconds: 10, missing: 'whole' }]);
});

test('the time of a large message is never beyond the longest timer, which would end at once', (t) => {
  const delays: number[] = [];
  t.mock.method(globalThis, 'setTimeout', (_: unknown, ms: number) => void delays.push(ms));
  createWriteStallTimer(86_400, () => {}).written(40 * MiB);
  createWriteStallTimer(86_400, () => {}).written(1);
  assert.deepEqual(delays, [2 ** 31 - 1, 86_400_000, 86_400_000]);
});

test('messages that wait behind others on a slow connection get their time one after the other', (t) => {
  const { timer, stalls, pass } = start(t);
  const taken = Array.from({ length: 5 }, () => timer.written(500));
  for (const each of taken) {
    pass(9);
    each();
  }
  pass(1000);
  assert.deepEqual(stalls, [], 'nothing waits');
  timer.written(500);
  pass(10);
  assert.equal(stalls.length, 1);
});

test('a stopped timer reports nothing', (t) => {
  const { timer, stalls, pass } = start(t);
  timer.written(500);
  timer.stop();
  timer.written(500);
  pass(1000);
  assert.deepEqual(stalls, []);
});
