import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachSlice, runInSlices, runSync } from './slices.js';

function slicesOf(vectors: number, channels: number) {
  const slices: [number, number][] = [];
  const steps = forEachSlice(vectors, channels, (first, end) => slices.push([first, end]));
  let pauses = 0;
  while (steps.next().done === false) pauses++;
  return { slices, pauses };
}

test('every vector is in one slice, in order, with a pause between slices', () => {
  assert.deepEqual(slicesOf(196, 512), { slices: [[0, 196]], pauses: 0 });
  assert.deepEqual(slicesOf(1025, 512), {
    slices: [
      [0, 512],
      [512, 1024],
      [1024, 1025],
    ],
    pauses: 2,
  });
  assert.deepEqual(slicesOf(0, 512), { slices: [], pauses: 0 });
  // A vector is never split.
  assert.deepEqual(slicesOf(2, 2 ** 20), {
    slices: [
      [0, 1],
      [1, 2],
    ],
    pauses: 1,
  });
});

/** Counts to n with a pause after each number; `seen` lists the numbers so far. */
function counting(n: number) {
  const seen: number[] = [];
  function* steps(): Generator<void, string> {
    for (let i = 1; i <= n; i++) {
      seen.push(i);
      yield;
    }
    return 'done';
  }
  return { steps: steps(), seen };
}

test('runSync runs to the end in one turn of the event loop', () => {
  const { steps, seen } = counting(3);
  assert.equal(runSync(steps), 'done');
  assert.deepEqual(seen, [1, 2, 3]);
});

test('runInSlices yields to the event loop at every pause', async () => {
  const { steps, seen } = counting(3);
  const atTurn: number[] = [];
  const watch = (): void => {
    atTurn.push(seen.length);
    if (seen.length < 3) setImmediate(watch);
  };
  setImmediate(watch);
  assert.equal(await runInSlices(steps, new AbortController().signal), 'done');
  assert.deepEqual(atTurn, [1, 2, 3]);
});

test('runInSlices stops at the first pause after the signal is aborted', async () => {
  const { steps, seen } = counting(3);
  const controller = new AbortController();
  const running = runInSlices(steps, controller.signal);
  controller.abort(new Error('given up'));
  await assert.rejects(running, /given up/);
  assert.deepEqual(seen, [1]);
});
