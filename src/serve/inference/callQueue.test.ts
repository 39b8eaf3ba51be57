import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineOutputs } from '../../engine/engine.js';
import type { Held } from '../admission/weightedSemaphore.js';
import type { Call } from '../call/call.js';
import type { BatchQueue } from './batchQueue.js';
import { lendQueue } from './callQueue.js';

const call: Call = { signal: new AbortController().signal, observe: () => {} };
const image = { width: 1, height: 1, data: new Uint8Array(3) };

/** A queue that tells which places are taken, and which the images that ran had. */
function countingQueue(answer: () => EngineOutputs = () => ({})) {
  const taken = new Set<Held>();
  const used: (Held | undefined)[] = [];
  function take(): Held {
    const place = { waitedMs: 0, release: () => void taken.delete(place) };
    taken.add(place);
    return place;
  }
  const queue: Pick<BatchQueue, 'reserve' | 'reserveInTurn' | 'run'> = {
    reserve: take,
    reserveInTurn: async () => take(),
    async run(_image, _wants, _call, place) {
      used.push(place);
      place?.release();
      return answer();
    },
  };
  return { queue, taken, used };
}

test('a part of a call gives back what it did not use when it ends', async () => {
  const { queue, taken } = countingQueue();
  await lendQueue(queue, async (own) => {
    const part = own.lend(async (its) => {
      await its.reserve(call);
      throw new Error('not an image');
    });
    await assert.rejects(part, /not an image/);
    assert.equal(taken.size, 0);
    await own.reserve(call);
    await own.lend((its) => its.run(image, new Set(), call));
    assert.equal(taken.size, 1, 'a part does not use what the whole has');
  });
  assert.equal(taken.size, 0);
});

test('an image runs with the place that its call took, and one without a place runs as well', async () => {
  const { queue, taken, used } = countingQueue();
  await lendQueue(queue, async (own) => {
    await own.reserve(call);
    await own.run(image, new Set(), call);
    await own.run(image, new Set(), call);
  });
  assert.deepEqual([used[0] !== undefined, used[1]], [true, undefined]);
  assert.equal(taken.size, 0);
});

test('a place that comes when its call has ended is given back', async () => {
  const { queue, taken } = countingQueue();
  let letIn = (): void => {};
  const room = new Promise<void>((resolve) => {
    letIn = resolve;
  });
  const full = { ...queue, reserveInTurn: () => room.then(() => queue.reserve(call)) };
  let late: Promise<unknown> | undefined;
  const work = lendQueue(full, async (own) => {
    late = own.reserve({ ...call, patient: true });
    throw new Error('another image is none');
  });
  await assert.rejects(work, /another image/);
  letIn();
  await late;
  assert.equal(taken.size, 0);
});

test('places of images that were refused before they ran are given back when the call ends', async () => {
  const { queue, taken } = countingQueue();
  const work = lendQueue(queue, async (own) => {
    await own.reserve(call);
    await own.reserve({ ...call, patient: true });
    assert.equal(taken.size, 2);
    throw new Error('not an image');
  });
  await assert.rejects(work, /not an image/);
  assert.equal(taken.size, 0);
});
