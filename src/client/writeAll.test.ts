import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { writeAll } from './writeAll.js';

async function* numbers(count: number) {
  for (let i = 0; i < count; i++) yield i;
}

test('messages are sent in order and the stream is ended, without a remaining listener', async () => {
  const closed = new AbortController();
  const written: number[] = [];
  let maxListeners = 0;
  const call = new Writable({
    objectMode: true,
    write(value: number, _, done) {
      written.push(value);
      setImmediate(() => {
        maxListeners = Math.max(maxListeners, getEventListeners(closed.signal, 'abort').length);
        done();
      });
    },
  });
  const finished = once(call, 'finish');
  await writeAll(call, numbers(300), closed.signal);
  await finished;
  assert.deepEqual(
    written,
    Array.from({ length: 300 }, (_, i) => i),
  );
  assert.equal(maxListeners, 1);
  assert.equal(getEventListeners(closed.signal, 'abort').length, 0);
});

test('a call that has ended is neither waited for nor written to', async () => {
  const closed = new AbortController();
  const written: number[] = [];
  let begun = (): void => {};
  const first = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const call = new Writable({
    objectMode: true,
    write(value: number) {
      written.push(value);
      begun();
    },
  });
  const writing = writeAll(call, numbers(3), closed.signal);
  await first;
  closed.abort();
  await writing;
  assert.deepEqual(written, [0]);
});

test('a source is closed when the call ends while it waits for its next message', async () => {
  const closed = new AbortController();
  let asked = (): void => {};
  const waiting = new Promise<void>((resolve) => {
    asked = resolve;
  });
  let returned = 0;
  const requests: AsyncIterable<number> = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        asked();
        return new Promise(() => {});
      },
      return: async () => {
        returned++;
        return { done: true, value: undefined };
      },
    }),
  };
  const call = new Writable({ objectMode: true });
  const writing = writeAll(call, requests, closed.signal);
  await waiting;
  closed.abort();
  await writing;
  assert.equal(returned, 1);
  assert.equal(getEventListeners(closed.signal, 'abort').length, 0);
});
