import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineOutputs } from '../../engine/engine.js';
import type { Permit } from '../admission/weightedSemaphore.js';
import type { Call } from '../call/call.js';
import type { BatchQueue, Reservation, TileReservation } from './batchQueue.js';
import { withScopedQueue } from './scopedQueue.js';

const call: Call = { signal: new AbortController().signal, observe: () => {} };
const image = { width: 1, height: 1, data: new Uint8Array(3) };

/** A queue that records which reservations are held, and with which ones images ran. */
function countingQueue(answer: () => EngineOutputs = () => ({})) {
  const taken = new Set<Reservation | TileReservation>();
  const used: (Reservation | undefined)[] = [];
  const holding = new Set<Permit>();
  function take(): Reservation {
    const place = { waitedMs: 0, release: () => void taken.delete(place) };
    taken.add(place);
    return place;
  }
  const queue: Pick<BatchQueue, 'reserve' | 'reserveWaiting' | 'reserveTiles' | 'hold' | 'run'> = {
    reserve: take,
    reserveWaiting: async () => take(),
    reserveTiles: async () => {
      const tiles: TileReservation = {
        ...take(),
        shrink: () => {},
        place: take,
        release: () => void taken.delete(tiles),
      };
      taken.clear();
      taken.add(tiles);
      return tiles;
    },
    hold(size) {
      const permit = { waitedMs: 0, weight: size, shrink: () => {}, release: () => void holding.delete(permit) };
      holding.add(permit);
      return permit;
    },
    async run(_image, _wants, _call, place) {
      used.push(place);
      place?.release();
      return answer();
    },
  };
  return { queue, taken, used, holding };
}

test('a scope within a call releases its unused reservations when it ends', async () => {
  const { queue, taken } = countingQueue();
  await withScopedQueue(queue, async (own) => {
    const part = own.scope(async (its) => {
      await its.reserve(call, 3);
      throw new Error('not an image');
    });
    await assert.rejects(part, /not an image/);
    assert.equal(taken.size, 0);
    await own.reserve(call, 3);
    await own.scope((its) => its.run(image, new Set(), call));
    assert.equal(taken.size, 1, 'a scope does not use what the one around it has');
  });
  assert.equal(taken.size, 0);
});

test('the bytes of an image that is decoded are held with its place, once, and released with it or with the scope', async () => {
  const { queue, taken, used, holding } = countingQueue();
  await withScopedQueue(queue, async (own) => {
    own.hold(9);
    assert.equal(holding.size, 0, 'there is no place');
    await own.reserve(call, 3);
    own.hold(3);
    own.hold(3);
    assert.deepEqual(
      [...holding].map(({ weight }) => weight),
      [3],
    );
    await own.run(image, new Set(), call);
    assert.equal(used[0]!.bytes?.weight, 3);
    assert.deepEqual([holding.size, taken.size], [0, 0]);
    await own.reserve(call, 3);
    own.hold(3);
  });
  assert.deepEqual([holding.size, taken.size], [0, 0]);
});

test('an image runs with the reservation of its call, and one without a reservation also runs', async () => {
  const { queue, taken, used } = countingQueue();
  await withScopedQueue(queue, async (own) => {
    await own.reserve(call, 3);
    await own.run(image, new Set(), call);
    await own.run(image, new Set(), call);
  });
  assert.deepEqual([used[0] !== undefined, used[1]], [true, undefined]);
  assert.equal(taken.size, 0);
});

test('a reservation that is granted after its call has ended is released', async () => {
  const { queue, taken } = countingQueue();
  let letIn = (): void => {};
  const room = new Promise<void>((resolve) => {
    letIn = resolve;
  });
  const full = { ...queue, reserveWaiting: () => room.then(() => queue.reserve(call)) };
  let late: Promise<unknown> | undefined;
  const work = withScopedQueue(full, async (own) => {
    late = own.reserve({ ...call, waitsForCapacity: true }, 3);
    throw new Error('another image is none');
  });
  await assert.rejects(work, /another image/);
  letIn();
  await late;
  assert.equal(taken.size, 0);
});

test('reservations of images that were rejected before they ran are released when the call ends', async () => {
  const { queue, taken } = countingQueue();
  const work = withScopedQueue(queue, async (own) => {
    await own.reserve(call, 3);
    await own.reserve({ ...call, waitsForCapacity: true }, 3);
    assert.equal(taken.size, 2);
    throw new Error('not an image');
  });
  await assert.rejects(work, /not an image/);
  assert.equal(taken.size, 0);
});

test('the places of tiles are released when the scope ends, and each tile runs with one of them', async () => {
  const { queue, taken, used } = countingQueue();
  const work = withScopedQueue(queue, async (own) => {
    const tiles = await own.reserveTiles(call, 2, 9);
    assert.equal(taken.size, 1);
    await tiles.run(image, new Set(), call);
    assert.equal(used.length, 1);
    assert.ok(used[0], 'it ran with a place');
    throw new Error('the next tile failed');
  });
  await assert.rejects(work, /the next tile failed/);
  assert.equal(taken.size, 0);
});
