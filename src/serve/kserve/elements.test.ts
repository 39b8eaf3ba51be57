import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ImageError } from '../../image/imageError.js';
import type { Call } from '../call/call.js';
import { toStatus } from '../call/errors.js';
import { ServeError } from '../call/serveError.js';
import { answerElements, atPlace } from './elements.js';

function started() {
  const controller = new AbortController();
  const call: Call = { signal: controller.signal, observe: () => {} };
  return { call, abort: (reason: Error) => controller.abort(reason) };
}

/** Resolves or rejects on request of the test; rejects when its call is aborted. */
function createWork() {
  const open = new Map<number, { readonly call: Call; end(error?: Error): void }>();
  return {
    open,
    work: (index: number, call: Call) =>
      new Promise<number>((resolve, reject) => {
        const end = (error?: Error): void => (error ? reject(error) : resolve(index * 10));
        open.set(index, { call, end });
        call.signal.addEventListener('abort', () => reject(call.signal.reason as Error), { once: true });
      }),
  };
}

test('results have the order of the elements', async () => {
  const { work, open } = createWork();
  const answer = answerElements(3, started().call, work);
  for (const index of [2, 0, 1]) open.get(index)!.end();
  assert.deepEqual(await answer, [0, 10, 20]);
});

test('the error is that of the first element, also if a later one fails earlier, and those behind are aborted', async () => {
  const { work, open } = createWork();
  const answer = answerElements(4, started().call, work);
  open.get(2)!.end(new Error('third'));
  await new Promise(setImmediate);
  const isAborted = () => [...open.values()].map(({ call }) => call.signal.aborted);
  assert.deepEqual(isAborted(), [false, false, false, true]);
  open.get(1)!.end(new Error('second'));
  await new Promise(setImmediate);
  assert.deepEqual(isAborted(), [false, false, true, true]);
  open.get(0)!.end();
  await assert.rejects(answer, /second/);
});

test('an aborted call aborts every element, and is not about one', async () => {
  const { work, open } = createWork();
  const { call, abort } = started();
  const answer = answerElements(2, call, work);
  open.get(0)!.end();
  abort(new ServeError('cancelled', 'the caller cancelled the call'));
  await assert.rejects(answer, /^ServeError: the caller cancelled/);
  assert.equal(open.get(1)!.call.signal.aborted, true);
  await assert.rejects(answerElements(1, call, work), /the caller cancelled/, 'before it starts');
});

test('the place is in front of the message of errors about one element, once, and not of others', () => {
  const details = (error: unknown) => toStatus(atPlace('image[3]', error)).details;
  assert.equal(details(new ImageError('corrupt', 'damaged')), 'image[3]: damaged');
  assert.equal(details(new ImageError('corrupt', 'image[3]: damaged')), 'image[3]: damaged');
  const unexpected = atPlace('image[3]', new TypeError('x is not a function'));
  assert.match(toStatus(unexpected).details, /^image\[3\]: internal error/);
  assert.ok((unexpected as Error).cause instanceof TypeError, 'the log has the cause');
  const full = new ServeError('overloaded', 'the queue is full', { limit: { name: 'queueImages', value: 1 } });
  assert.equal(atPlace('image[3]', full), full);
});
