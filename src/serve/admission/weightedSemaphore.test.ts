import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createRoom, type Held, type Room } from './weightedSemaphore.js';

const { signal } = new AbortController();

/** Who was let in, in their order. */
function waiting(room: Room, ...amounts: number[]) {
  const given: Held[] = [];
  for (const amount of amounts) void room.wait(amount, signal).then((held) => given.push(held));
  return given;
}

describe('room', () => {
  test('what is taken and given back is counted once', () => {
    const room = createRoom(10);
    const held = room.take(6);
    assert.deepEqual([room.held, room.fits(4), room.fits(5)], [6, true, false]);
    held.release();
    held.release();
    assert.deepEqual([room.held, room.fits(10)], [0, true]);
  });

  test('more than there is fits when nothing else is held', async () => {
    const room = createRoom(10);
    assert.ok(room.fits(15));
    const held = room.take(15);
    assert.deepEqual([room.held, room.fits(1)], [10, false]);
    held.release();
    const [first, second] = await Promise.all([room.wait(15, signal), turn()]);
    assert.deepEqual([room.held, second], [5, undefined], 'who waits holds half at most');
    first.release();
    assert.equal(room.held, 0);
  });

  test('who waits comes in his turn, and a small one does not overtake a large one', async () => {
    const room = createRoom(10);
    const taken = room.take(8);
    const given = waiting(room, 3, 1);
    await turn();
    assert.deepEqual([given.length, room.awaited], [0, 2]);
    taken.release();
    await turn();
    assert.deepEqual([given.length, room.awaited, room.held], [2, 0, 4]);
    for (const { waitedMs } of given) assert.ok(waitedMs > 0);
  });

  test('those who wait leave half to those who cannot, and come before them', async () => {
    const room = createRoom(4);
    const given = waiting(room, 1, 1, 1);
    await turn();
    assert.deepEqual([given.length, room.fits(2), room.fits(3)], [2, true, false]);
    const others = room.take(2);
    given[0]!.release();
    await turn();
    assert.deepEqual([given.length, room.fits(1)], [3, false]);
    others.release();
  });

  test('one that gives up frees the way for those behind it, and leaves no listener', async () => {
    const room = createRoom(4);
    room.take(3);
    const given = new AbortController();
    const large = room.wait(2, given.signal);
    const small = room.wait(1, signal);
    const before = getEventListeners(signal, 'abort').length;
    given.abort(new Error('gave up'));
    await assert.rejects(large, /gave up/);
    (await small).release();
    assert.equal(getEventListeners(signal, 'abort').length, before - 1);
    await assert.rejects(room.wait(1, given.signal), /gave up/);
  });

  test('another condition holds those who wait back until it is met, and all can be turned away', async () => {
    let open = false;
    const room = createRoom(4, () => open);
    const given = waiting(room, 1);
    await turn();
    assert.equal(given.length, 0);
    open = true;
    room.take(1).release();
    await turn();
    assert.equal(given.length, 1);
    open = false;
    const away = room.wait(1, signal);
    room.turnAway(new Error('down'));
    await assert.rejects(away, /down/);
    assert.equal(room.awaited, 0);
  });
});
