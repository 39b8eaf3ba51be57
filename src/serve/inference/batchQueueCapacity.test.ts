import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import {
  bytesOf,
  call,
  embedding,
  gatedEngine,
  image,
  isServeError,
  limits,
  manifest,
  timedQueue,
} from '../../../test/support/batchQueues.js';
import { createFakeEngine } from '../../engine/fakeEngine.js';
import { ServeError } from '../call/serveError.js';
import { type BatchQueue, createBatchQueue, type Reservation } from './batchQueue.js';

/** Places and bytes of the queue: who reserves them, who waits for them, and when they are released. */

describe("the batch queue's capacity", () => {
  test('a reservation counts as an image until it is used or released', async () => {
    const queue = createBatchQueue(gatedEngine(), { ...limits, queueImages: 2 });
    const [first] = [queue.reserve(call()), queue.reserve(call())];
    assert.throws(() => queue.reserve(call()), isServeError('overloaded', /2 are being decoded \(queueImages: 2\)/));
    await assert.rejects(queue.run(image(1), embedding, call()), isServeError('overloaded', /full/));
    first!.release();
    first!.release();
    const third = queue.reserve(call());
    assert.throws(() => queue.reserve(call()), isServeError('overloaded', /full/));
    void queue.run(image(1), embedding, call(), third);
    assert.throws(
      () => queue.reserve(call()),
      isServeError('overloaded', /1 images wait, 1 are being decoded .* 192 bytes are held/),
    );
    await turn();
    queue.reserve(call());
  });

  test('reports that it is full while no image would be accepted, without a reservation', async () => {
    const engine = gatedEngine();
    const queue = createBatchQueue(engine, { ...limits, queueImages: 1 });
    assert.equal(queue.full, undefined);
    const place = queue.reserve(call());
    assert.ok(isServeError('overloaded', /0 images wait, 1 are being decoded/)(queue.full));
    assert.ok(queue.full!.retryAfterSeconds! > 0);
    place.release();
    assert.equal(queue.full, undefined);
    await queue.close();
    assert.equal(queue.full, undefined, 'what is wrong then is another thing');
  });

  test('a stream item blocks when a unary call is rejected, and its wait counts as time in the queue', async () => {
    const engine = gatedEngine();
    const queue = createBatchQueue(engine, { ...limits, queueImages: 2 });
    const running = queue.run(image(1), embedding, call());
    await turn();
    const waiting = [2, 3].map((value) => queue.run(image(value, 16), embedding, call()));
    assert.throws(() => queue.reserve(call()), isServeError('overloaded', /full/));
    const queued: number[] = [];
    const ofStream = {
      ...call(),
      waitsForCapacity: true,
      observe: (_: string, seconds: number) => void queued.push(seconds),
    };
    let reservation: Reservation | undefined;
    const reserving = queue.reserveWaiting(ofStream, bytesOf(image(4))).then((given) => {
      reservation = given;
    });
    await delay(20);
    assert.deepEqual([reservation, queue.blocked], [undefined, 1]);
    await engine.letOneGo();
    await reserving;
    const run = queue.run(image(4), embedding, ofStream, reservation);
    await engine.letOneGo();
    await engine.letOneGo();
    await Promise.all([running, ...waiting, run]);
    assert.ok(queued[0]! >= 0.019, `${queued[0]} s`);
    await queue.close();
  });

  test('stream items hold at most half of the images, and by their largest inputs half of the bytes', async () => {
    const maxBytes = bytesOf(image(1, 16, 16));
    for (const bound of [{ queueImages: 4 }, { queueImages: 100, queueBytes: 4 * maxBytes }]) {
      const queue = createBatchQueue(gatedEngine(), { ...limits, ...bound });
      const granted: Reservation[] = [];
      const reserving = [1, 2, 3].map(() =>
        queue.reserveWaiting(call(), maxBytes).then((given) => granted.push(given)),
      );
      await turn();
      assert.deepEqual([granted.length, queue.blocked], [2, 1], JSON.stringify(bound));
      queue.reserve(call()).release();
      granted[0]!.release();
      await Promise.all(reserving);
      for (const reservation of granted) reservation.release();
      await queue.close();
    }
  });

  test('stream items that reserve the largest input still fill batches: the next ones get the bytes that they do not need', async () => {
    const engine = gatedEngine();
    const maxBytes = bytesOf(image(1, 64, 64));
    // Half of it has room for three of the largest inputs, or 192 of the actual ones.
    const queue = createBatchQueue(engine, { ...limits, queueImages: 100, queueBytes: 6 * maxBytes });
    const items = Array.from({ length: 27 }, async (_, i) =>
      queue.run(image(i), embedding, call(), await queue.reserveWaiting(call(), maxBytes)),
    );
    for (let i = 0; i < 7; i++) {
      await turn();
      await engine.letOneGo();
    }
    await Promise.all(items);
    assert.deepEqual(
      engine.sizes(),
      [3, ...new Array(6).fill(4)],
      'the first run begins with those that had a reservation',
    );
    await queue.close();
  });

  test('an image that is smaller than its reservation releases the difference when it is decoded', async () => {
    const engine = gatedEngine();
    const maxBytes = bytesOf(image(1, 16, 16));
    const queue = createBatchQueue(engine, { ...limits, queueImages: 100, queueBytes: 2 * maxBytes });
    const running = queue.run(image(1), embedding, call());
    await turn();
    const first = await queue.reserveWaiting(call(), maxBytes);
    const second = queue.reserveWaiting(call(), maxBytes / 2);
    await turn();
    assert.equal(queue.blocked, 1, 'half of the bytes is reserved');
    const small = queue.run(image(2), embedding, call(), first);
    const next = queue.run(image(3), embedding, call(), await second);
    await engine.letOneGo();
    await engine.letOneGo();
    await Promise.all([running, small, next]);
    await queue.close();
  });

  test('a reserved image is never rejected for bytes; one larger than its reservation needs the rest to be free', async () => {
    const engine = gatedEngine();
    const size = bytesOf(image(1));
    const queue = createBatchQueue(engine, { ...limits, queueBytes: 4 * size });
    const running = queue.run(image(1), embedding, call());
    await turn();
    const reservations = await Promise.all([1, 2].map(() => queue.reserveWaiting(call(), size)));
    const unary = [2, 3].map((value) => queue.run(image(value), embedding, call()));
    await assert.rejects(queue.run(image(4), embedding, call()), {
      code: 'overloaded',
      limit: { name: 'queueBytes', value: 4 * size },
    });
    const fits = queue.run(image(5), embedding, call(), reservations[0]);
    const larger = queue.run(image(6, 16), embedding, call(), reservations[1]);
    await assert.rejects(larger, { code: 'overloaded', limit: { name: 'queueBytes', value: 4 * size } });
    const again = await queue.reserveWaiting(call(), size);
    await Promise.all([engine.letOneGo(), running]);
    await Promise.all([engine.letOneGo(), ...unary, fits]);
    assert.ok((await Promise.all([queue.run(image(6), embedding, call(), again), turn().then(engine.letOneGo)]))[0]);
    await queue.close();
  });

  test('the bytes of a decoded image that waits elsewhere count, and are those with which it runs', async () => {
    const size = bytesOf(image(1));
    const queue = createBatchQueue(gatedEngine(), { ...limits, queueBytes: 2 * size });
    const place = queue.reserve(call());
    const bytes = queue.hold(size);
    assert.throws(() => queue.hold(size + 1), isServeError('overloaded', /\(queueBytes: \d+\), and this image has/));
    assert.throws(() => queue.hold(3 * size), isServeError('overloaded', /ask for a smaller size \(resize\)/));
    const other = queue.hold(size);
    const release = () => {
      bytes.release();
      place.release();
    };
    const held = { waitedMs: 0, bytes, release };
    // There are no more bytes, and it needs none.
    const run = queue.run(image(1), embedding, call(), held);
    run.catch(() => undefined);
    await turn();
    other.release();
    queue.hold(2 * size);
  });

  test('a stream item waits no longer than its call and its workers, and is accepted by a queue that closes', async () => {
    const engine = createFakeEngine({ manifest });
    const queue = createBatchQueue(engine, { ...limits, queueImages: 1 });
    const place = queue.reserve(call());
    const controller = new AbortController();
    const gaveUp = assert.rejects(queue.reserveWaiting(call(controller.signal), 192), /gave up/);
    controller.abort(new Error('gave up'));
    await gaveUp;
    const admitted = queue.reserveWaiting(call(), 192);
    const closing = queue.close();
    await assert.rejects(queue.reserveWaiting(call(), 192), isServeError('shutting_down', /shutting down/));
    place.release();
    await queue.run(image(1), embedding, call(), await admitted);
    await closing;

    for (const bound of [{ queueImages: 1 }, { queueBytes: 2 * 192 }]) {
      const down = createFakeEngine({ manifest });
      const second = createBatchQueue(down, { ...limits, ...bound });
      const held = await second.reserveWaiting(call(), 192);
      const waits = assert.rejects(second.reserveWaiting(call(), 192), { code: 'unavailable', message: /SIGKILL/ });
      await turn();
      down.kill(1, 'ended (signal SIGKILL)');
      await waits;
      held.release();
      await second.close();
    }
  });

  test('an image with a reservation is run after close, which waits for it', async () => {
    const queue = createBatchQueue(createFakeEngine({ manifest }), limits);
    const place = queue.reserve(call());
    let closed = false;
    const closing = queue.close().then(() => {
      closed = true;
    });
    await turn();
    assert.equal(closed, false);
    assert.throws(() => queue.reserve(call()), isServeError('shutting_down', /shutting down/));
    assert.ok((await queue.run(image(1), embedding, call(), place)).representation);
    await closing;
  });

  test('the tiles of an image have a place each, reserved together, and release it one by one', async () => {
    const engine = gatedEngine();
    const size = bytesOf(image(1));
    const queue = createBatchQueue(engine, { ...limits, queueImages: 4, queueBytes: 8 * size });
    const tiles = await queue.reserveTiles(call(), 3, 6 * size);
    await assert.rejects(queue.reserveTiles(call(), 2, size), isServeError('overloaded', /full/));
    await assert.rejects(queue.reserveTiles(call(), 1, 3 * size), {
      code: 'overloaded',
      limit: { name: 'queueBytes', value: 8 * size },
    });
    // The decoded image needs two tiles only, and two thirds of the bytes.
    tiles.shrink(2, 4 * size);
    const other = await queue.reserveTiles(call(), 2, 4 * size);
    assert.throws(() => queue.reserve(call()), isServeError('overloaded', /full/));
    const running = queue.run(image(1), embedding, call(), tiles.place(size));
    await turn();
    queue.reserve(call()).release();
    const second = queue.run(image(2), embedding, call(), tiles.place(size));
    other.release();
    await engine.letOneGo();
    await engine.letOneGo();
    await Promise.all([running, second]);
    tiles.release();
    tiles.release();
    await queue.close();
  });

  test('a place of a tile is released once, and those that were not used with the image', async () => {
    const queue = createBatchQueue(gatedEngine(), { ...limits, queueImages: 3 });
    const tiles = await queue.reserveTiles(call(), 3, 192);
    const place = tiles.place(192);
    place.release();
    place.release();
    const other = queue.reserve(call());
    assert.throws(() => queue.reserve(call()), isServeError('overloaded', /3 are being decoded/));
    tiles.release();
    other.release();
    for (const reservation of [1, 2, 3].map(() => queue.reserve(call()))) reservation.release();
    await queue.close();
  });

  test('a stream item waits for the places of all its tiles; one with more than there are takes the half of stream items', async () => {
    const queue = createBatchQueue(gatedEngine(), { ...limits, queueImages: 8 });
    const ofStream = { ...call(), waitsForCapacity: true };
    const first = await queue.reserveTiles(ofStream, 100, 192);
    let granted = false;
    const next = queue.reserveTiles(ofStream, 3, 192).then((given) => {
      granted = true;
      return given;
    });
    await turn();
    assert.deepEqual([granted, queue.blocked], [false, 1]);
    queue.reserve(call()).release();
    first.shrink(1, 0);
    (await next).release();
    first.release();
    await queue.close();
  });

  /** Images and bytes that hold capacity, as the message for an image larger than the whole queue states them. */
  async function heldBy(queue: BatchQueue): Promise<{ decoding: number; bytes: number }> {
    const error = await queue.run(image(0, 1 << 10, 1 << 9), embedding, call()).catch((caught: unknown) => caught);
    assert.ok(error instanceof ServeError);
    const { decoding, bytes } = /(?<decoding>\d+) are being decoded .* (?<bytes>\d+) bytes are held/.exec(
      error.message,
    )!.groups!;
    // The image of this call has a place while its message is made.
    return { decoding: Number(decoding) - 1, bytes: Number(bytes) };
  }

  test('a call that is rejected for its deadline holds no place and no bytes', async (t) => {
    const { queue, within, letOneGoAfter, runFor } = timedQueue(t);
    for (let i = 0; i < 3; i++) await runFor(10_000, image(i));
    const running = queue.run(image(4), embedding, call());
    await turn();
    const size = bytesOf(image(5));
    const late = within(1000);
    const rejections: Readonly<Record<string, () => Promise<unknown>>> = {
      reserve: async () => queue.reserve(late),
      reserveWaiting: () => queue.reserveWaiting({ ...late, waitsForCapacity: true }, size),
      reserveTiles: () => queue.reserveTiles(late, 2, size),
      'reserveTiles of a stream item': () => queue.reserveTiles({ ...late, waitsForCapacity: true }, 2, size),
      run: () => queue.run(image(5), embedding, late),
      'run with a place': () => queue.run(image(5), embedding, late, queue.reserve(call())),
    };
    for (const [name, rejected] of Object.entries(rejections)) {
      await assert.rejects(rejected(), isServeError('deadline_exceeded', /cannot be met/), name);
      assert.deepEqual(await heldBy(queue), { decoding: 0, bytes: 0 }, name);
    }
    await letOneGoAfter(10_000);
    await running;
    await queue.close();
  });

  test('a call that finds no place, or gives up while it waits for one, holds no bytes', async () => {
    const size = bytesOf(image(1));
    const queue = createBatchQueue(gatedEngine(), { ...limits, queueImages: 1 });
    const place = queue.reserve(call());
    await assert.rejects(queue.reserveTiles(call(), 1, size), isServeError('overloaded', /full/));
    const bytesHeld = () => /(\d+) bytes are held/.exec(queue.full!.message)![1];
    assert.equal(bytesHeld(), '0');
    for (const wait of [
      (waiting: Parameters<BatchQueue['reserve']>[0]) => queue.reserveWaiting(waiting, size),
      (waiting: Parameters<BatchQueue['reserve']>[0]) => queue.reserveTiles(waiting, 1, size),
    ]) {
      const controller = new AbortController();
      const gaveUp = assert.rejects(wait({ ...call(controller.signal), waitsForCapacity: true }), /gave up/);
      await turn();
      assert.deepEqual([queue.blocked, bytesHeld()], [1, '192']);
      controller.abort(new Error('gave up'));
      await gaveUp;
      assert.deepEqual([queue.blocked, bytesHeld()], [0, '0']);
    }
    place.release();
    await queue.close();
  });
});
