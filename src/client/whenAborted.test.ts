import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { whenAborted } from './whenAborted.js';

test('a signal has one listener for all of its calls, and none after the last', () => {
  const { signal } = new AbortController();
  const ends = Array.from({ length: 60 }, () => whenAborted(signal, () => {}));
  assert.equal(getEventListeners(signal, 'abort').length, 1);
  for (const end of ends) end();
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  const end = whenAborted(signal, () => {});
  assert.equal(getEventListeners(signal, 'abort').length, 1);
  end();
  end();
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('an abort cancels every call that has not ended, also if cancelling ends it', () => {
  const controller = new AbortController();
  const cancelled: number[] = [];
  const ends = [0, 1, 2, 3].map((i) =>
    whenAborted(controller.signal, () => {
      cancelled.push(i);
      ends[i]!();
    }),
  );
  ends[1]!();
  controller.abort();
  assert.deepEqual(cancelled, [0, 2, 3]);
  assert.doesNotThrow(whenAborted(undefined, () => {}));
});
