import { type Engine, EngineError, type EngineOutputs, type OutputName } from '../../engine/engine.js';
import type { RgbImage } from '../../image/types.js';
import { createWeightedSemaphore, type Permit } from '../admission/weightedSemaphore.js';
import type { Call } from '../call/call.js';
import { ServeError } from '../call/serveError.js';
import type { RunSpan } from '../call/trace.js';
import { batchSizes, type ConfiguredRun, runLimits } from '../config/runLimits.js';
import { splitRun } from './splitRun.js';
import { createWorkAhead } from './workAhead.js';

export interface QueueLimits extends ConfiguredRun {
  /** Maximum images that wait or are being decoded. */
  readonly queueImages: number;
  /** Maximum bytes of images that wait, and of those reserved for stream items that are being decoded. */
  readonly queueBytes: number;
  /** Maximum milliseconds that a batch that is not full waits for more images while a worker is idle. Default 0. */
  readonly maxQueueDelayMs?: number;
}

/** Observes the queue, for metrics and traces. */
export interface QueueObserver {
  /** Called when a run of so many images begins. */
  batch?(images: number): void;
  /** The same with the calls of the images, in order. @returns the span of the run; undefined if it is not traced */
  run?(calls: readonly Pick<Call, 'trace'>[]): RunSpan | undefined;
}

/** A place in the queue for an image that is not decoded yet. */
export interface Reservation {
  /** Milliseconds that the caller waited for it. */
  readonly waitedMs: number;
  /** Bytes of `queueBytes` for the image; absent if they are acquired when its size is known. */
  readonly bytes?: Permit;
  /** Releases the place and the bytes. A second call does nothing. */
  release(): void;
}

/** Places in the queue for the tiles of one image, and bytes of `queueBytes` for the image, which is not decoded yet. */
export interface TileReservation {
  /** Releases the places and the bytes that the decoded image does not need. */
  shrink(tiles: number, bytes: number): void;
  /**
   * One of the places, for a tile of so many bytes, which are part of the image's. Its release does not release them: the image
   * stays in memory until all of its tiles have run.
   */
  place(bytes: number): Reservation;
  /** Releases the bytes and the places that were not used. A second call does nothing. */
  release(): void;
}

/**
 * Runs images of one size that need the same outputs in batches.
 *
 * The queue is bounded in images and in bytes. When it is full, unary calls are rejected (`reserve`, `run`) and stream items block
 * (`reserveWaiting`); stream items together hold at most half of each.
 */
export interface BatchQueue {
  /**
   * Reserves a place for an image before it is decoded. `run` releases it.
   * @throws ServeError and EngineError as `run`.
   */
  reserve(call: Call): Reservation;
  /**
   * Waits for a place and for the bytes of the image. `run` releases the bytes that the image does not need; it never rejects an
   * image for its bytes if the image has at most `maxBytes`.
   * @param maxBytes maximum bytes of the image
   * @throws ServeError and EngineError as `run`, but not for a full queue.
   */
  reserveWaiting(call: Call, maxBytes: number): Promise<Reservation>;
  /**
   * Reserves a place for every tile of an image, and the bytes of the image, all at once: a call that waits for capacity waits for
   * them, others are rejected.
   * @param tiles maximum number; more than the queue has places count as all of them (for calls that wait: half of them)
   * @param maxBytes maximum bytes of the image and of the tiles that are copied from it at the same time
   * @throws ServeError and EngineError as `run`.
   */
  reserveTiles(call: Call, tiles: number, maxBytes: number): Promise<TileReservation>;
  /**
   * Computes the requested outputs of one image; each has a leading dimension of 1.
   * @param reservation of the image: with a reservation it is rejected neither for the number of images nor while the queue closes
   * @throws ServeError `overloaded` when the queue is full, `deadline_exceeded` when the call's deadline cannot be met,
   *   `shutting_down` after `close`, or the reason of the call's signal when it is aborted; EngineError when the run fails.
   */
  run(image: RgbImage, wants: ReadonlySet<OutputName>, call: Call, reservation?: Reservation): Promise<EngineOutputs>;
  /**
   * Acquires the bytes of a decoded image that does not run yet.
   * @throws ServeError `overloaded` if they are not free
   */
  hold(size: number): Permit;
  /** The error that rejects an image of any size while the queue is full; otherwise undefined. */
  readonly full: ServeError | undefined;
  /** Number of images that wait, without those that run. */
  readonly depth: number;
  /** Number of calls that wait in `reserveWaiting`. */
  readonly blocked: number;
  /** Stops accepting images. Resolves when all accepted images, and those with a reservation, have run. */
  close(): Promise<void>;
}

/** The part of an engine that the queue uses. */
export type QueueEngine = Pick<Engine, 'run' | 'idle' | 'status' | 'watch' | 'provider'>;

interface Item {
  readonly key: string;
  readonly image: RgbImage;
  readonly pixels: number;
  readonly wants: ReadonlySet<OutputName>;
  readonly call: Call;
  /** Permits of `queueImages` and `queueBytes`; released when the image is removed from the queue. */
  readonly permits: readonly Pick<Permit, 'release'>[];
  /** Milliseconds that the caller waited for its reservation. */
  readonly waitedMs: number;
  /** As performance.now(). */
  readonly enqueued: number;
  resolve(outputs: EngineOutputs): void;
  reject(error: unknown): void;
}

/** A batch, and the earliest time at which it may run, as performance.now(). */
interface Candidate {
  readonly batch: Item[];
  readonly runAt: number;
}

/** The reduced batch size after memory ran out. */
interface Fitting {
  readonly images: number;
  /** As performance.now(): other users of the memory may have released it by then. */
  readonly until: number;
}

/** Milliseconds for which batches stay smaller after memory ran out. */
const FITTING_MS = 60_000;

/** Bounds of the retry hints in seconds, and the hint before there is an estimate. */
const RETRY_SECONDS = { unknown: 1, min: 0.05, max: 30 };

/**
 * A bounded first-in, first-out queue in front of an engine. Batches are dispatched as soon as a worker is idle, in a microtask, so
 * that the two images of a Match share a batch; larger batches form while workers are busy. With `maxQueueDelayMs`, a batch that is
 * not full waits that long for more images. A batch contains the oldest image and the images behind it with the same size and
 * outputs, so that no size starves. A call that is aborted, or whose deadline passes, is removed from the queue immediately.
 */
export function createBatchQueue(engine: QueueEngine, limits: QueueLimits, observer: QueueObserver = {}): BatchQueue {
  let waiting: Item[] = [];
  let closed = false;
  let pumping = false;
  let alarm: NodeJS.Timeout | undefined;
  const running = new Set<Promise<void>>();
  const places = createWeightedSemaphore(limits.queueImages);
  const bytes = createWeightedSemaphore(limits.queueBytes);
  /** Images of a batch that fit into memory, by size and outputs; absent if memory never ran out. */
  const fitting = new Map<string, Fitting>();
  const { batchImages, batchPixels } = runLimits(limits, engine);
  const work = createWorkAhead({ batchImages, batchPixels });
  const sizes = engine.provider === 'cuda' ? batchSizes(batchImages) : undefined;
  const { maxQueueDelayMs = 0 } = limits;

  const liveWorkers = (): number =>
    engine.status.workers.filter(({ state }) => state === 'idle' || state === 'busy').length;

  /** Images of a batch that fit into memory, as far as known. */
  function fittingImages(key: string): number {
    const found = fitting.get(key);
    if (found === undefined) return Number.POSITIVE_INFINITY;
    if (performance.now() < found.until) return found.images;
    fitting.delete(key);
    return Number.POSITIVE_INFINITY;
  }

  function retryAfter(): number {
    const { unknown, min, max } = RETRY_SECONDS;
    // When half of the queue has run, there are free places.
    const seconds = work.secondsToWait(liveWorkers());
    return seconds === undefined ? unknown : Math.min(max, Math.max(min, seconds / 2));
  }

  /** Images that have a place and are not in the queue yet. (The tiles of an image may be more than the places that exist.) */
  const decoding = (): number => Math.max(0, places.held - waiting.length);

  function noWorker(): EngineError {
    const { reason, publicReason } = engine.status;
    const message = (why = 'unknown reason'): string => `no inference worker is running (${why}); try again later`;
    return new EngineError('unavailable', message(reason), { publicMessage: message(publicReason) });
  }

  /** @param size bytes of the image, if it is rejected because of them */
  function overloaded(limit: 'queueImages' | 'queueBytes', size = 0): ServeError {
    const message =
      `the queue is full: ${waiting.length} images wait, ${decoding()} are being decoded (queueImages: ` +
      `${limits.queueImages}), ${bytes.held} bytes are held (queueBytes: ${limits.queueBytes})` +
      `${size > 0 ? `, and this image has ${size}` : ''}; ` +
      (size > limits.queueBytes ? 'ask for a smaller size (resize)' : 'try again later');
    const details = { limit: { name: limit, value: limits[limit] }, retryAfterSeconds: retryAfter() } as const;
    return new ServeError('overloaded', message, details);
  }

  /** @throws ServeError `shutting_down` or EngineError `unavailable` while no image is accepted, also if the queue is not full */
  function checkOpen(hasPlace = false): void {
    if (closed && !hasPlace)
      throw new ServeError('shutting_down', 'the server is shutting down; send the request to another one');
    if (engine.status.state === 'down') throw noWorker();
  }

  /**
   * Rejects nothing while a worker is idle, or while none of this queue's batches run: an estimate that is wrong is corrected by
   * the runs that it would prevent.
   * @param pixels of the image; 0 while its size is not known
   * @param placed images that are being decoded and run before this one
   * @throws ServeError `deadline_exceeded` if, by the estimate, the deadline cannot be met
   */
  function checkDeadline({ deadline }: Call, pixels: number, placed: number): void {
    if (deadline === undefined || engine.idle > 0 || running.size === 0) return;
    const before = work.secondsToWait(liveWorkers(), placed);
    const own = pixels === 0 ? 0 : work.secondsFor(pixels);
    if (before === undefined || own === undefined) return;
    if (Date.now() + (before + own) * 1000 > deadline) {
      const message =
        `the deadline in ${deadline - Date.now()} ms cannot be met: ${waiting.length + placed} images wait before this one, ` +
        `for about ${Math.round(before * 1000)} ms, and it takes ${Math.round(own * 1000)} ms itself; allow more time or try ` +
        'again later';
      throw new ServeError('deadline_exceeded', message, { retryAfterSeconds: retryAfter() });
    }
  }

  /** @throws ServeError `overloaded` if there is no permit */
  function orOverloaded(permit: Permit | undefined, limit: 'queueImages' | 'queueBytes', size = 0): Permit {
    if (permit) return permit;
    throw overloaded(limit, size);
  }

  function remove(items: ReadonlySet<Item>): void {
    waiting = waiting.filter((item) => !items.has(item));
    for (const item of items) {
      work.remove(item);
      for (const permit of item.permits) permit.release();
    }
  }

  /** Rejects calls whose deadline has passed. A timer aborts calls at their deadline, but it may be late if this thread is busy. */
  function dropLate(): void {
    const now = Date.now();
    const late = waiting.filter(({ call }) => call.deadline !== undefined && call.deadline <= now);
    if (late.length === 0) return;
    remove(new Set(late));
    for (const item of late) {
      item.reject(new ServeError('deadline_exceeded', 'the deadline of the call passed before a worker was free'));
    }
  }

  /** The batch that begins with an image, and when it may run: now (0), or after it has waited for more images. */
  function batchOf({ key, enqueued }: Item): Candidate {
    const maxImages = Math.min(batchImages, fittingImages(key));
    const batch: Item[] = [];
    let pixels = 0;
    let full = false;
    for (const item of waiting) {
      if (item.key !== key) continue;
      full = batch.length > 0 && (batch.length >= maxImages || pixels + item.pixels > batchPixels);
      if (full) break;
      batch.push(item);
      pixels += item.pixels;
    }
    full ||= batch.length >= maxImages || pixels + batch[0]!.pixels > batchPixels;
    return { batch, runAt: full || closed ? 0 : enqueued + maxQueueDelayMs };
  }

  /** The oldest batch that may run now; if there is none, the batch that may run first. */
  function nextBatch(): Candidate {
    const seen = new Set<string>();
    let next: Candidate | undefined;
    for (const item of waiting) {
      if (seen.has(item.key)) continue;
      seen.add(item.key);
      const candidate = batchOf(item);
      if (candidate.runAt <= performance.now()) return candidate;
      if (next === undefined || candidate.runAt < next.runAt) next = candidate;
    }
    return next!;
  }

  async function runBatch(batch: readonly Item[]): Promise<void> {
    const { key, wants } = batch[0]!;
    const end = work.begin(batch.reduce((sum, item) => sum + item.pixels, 0));
    let measured: number | undefined;
    let span: RunSpan | undefined;
    let failed = batch.length;
    try {
      const start = performance.now();
      for (const { call, waitedMs, enqueued } of batch) {
        const recent = (start - enqueued) / 1000;
        call.observe('queue', waitedMs / 1000 + recent, { recent });
      }
      observer.batch?.(batch.length);
      span = observer.run?.(batch.map(({ call }) => call));
      const outcomes = await splitRun(
        engine,
        batch.map(({ image }) => image),
        wants,
        {
          sizes,
          onOutOfMemory: (images) =>
            fitting.set(key, { images: Math.max(1, Math.ceil(images / 2)), until: performance.now() + FITTING_MS }),
        },
      );
      const seconds = (performance.now() - start) / 1000;
      failed = outcomes.filter((outcome) => 'error' in outcome).length;
      if (outcomes.some((outcome) => 'outputs' in outcome)) measured = seconds;
      for (const [i, item] of batch.entries()) {
        const outcome = outcomes[i]!;
        if ('error' in outcome) item.reject(outcome.error);
        else {
          item.call.observe('inference', seconds, { run: span?.ids });
          item.resolve(outcome.outputs);
        }
      }
    } catch (error) {
      for (const item of batch) item.reject(error);
    } finally {
      span?.end(failed);
      end(measured);
    }
  }

  function rejectAll(): void {
    const items = waiting;
    remove(new Set(items));
    for (const item of items) {
      item.reject(noWorker());
    }
    places.rejectWaiting(noWorker());
    bytes.rejectWaiting(noWorker());
  }

  /** Dispatches a batch to every idle worker. */
  function pump(): void {
    clearTimeout(alarm);
    if (engine.status.state === 'down') rejectAll();
    dropLate();
    while (waiting.length > 0 && engine.idle > 0) {
      const { batch, runAt } = nextBatch();
      const wait = runAt - performance.now();
      if (wait > 0) {
        alarm = setTimeout(pumpSoon, wait);
        return;
      }
      remove(new Set(batch));
      const run = runBatch(batch).finally(() => {
        running.delete(run);
        pumpSoon();
      });
      running.add(run);
    }
  }

  const blocked = (): number => places.waiting + bytes.waiting;

  /** Pumps in a microtask, so that images that are added together (both of a Match) share a batch. */
  function pumpSoon(): void {
    if (pumping || (waiting.length === 0 && blocked() === 0)) return;
    pumping = true;
    queueMicrotask(() => {
      pumping = false;
      pump();
    });
  }
  const unwatch = engine.watch(pumpSoon);

  return {
    reserve(call) {
      call.signal.throwIfAborted();
      checkOpen();
      const placed = decoding();
      const place = orOverloaded(places.tryAcquire(1), 'queueImages');
      try {
        checkDeadline(call, 0, placed);
        return place;
      } catch (error) {
        place.release();
        throw error;
      }
    },
    async reserveWaiting(call, maxBytes) {
      const { signal } = call;
      signal.throwIfAborted();
      checkOpen();
      // Bytes first: an image with a place is being decoded or waits for a worker.
      const permits = [await bytes.acquire(maxBytes, signal)];
      const release = (): void => {
        for (const permit of permits) permit.release();
      };
      try {
        permits.push(await places.acquire(1, signal));
        checkOpen(true);
        checkDeadline(call, 0, 0);
      } catch (error) {
        release();
        throw error;
      }
      const waitedMs = permits.reduce((sum, permit) => sum + permit.waitedMs, 0);
      if (waitedMs > 0) call.trace?.phase('queue', waitedMs / 1000);
      return { waitedMs, bytes: permits[0]!, release };
    },
    async reserveTiles(call, tiles, maxBytes) {
      const { signal } = call;
      signal.throwIfAborted();
      checkOpen();
      const placed = decoding();
      const permits: Permit[] = [];
      const release = (): void => {
        for (const permit of permits) permit.release();
      };
      try {
        // In the order of `reserveWaiting`.
        if (call.waitsForCapacity) {
          // One after the other: the bytes have to be among the permits while the call waits for the places.
          permits.push(await bytes.acquire(maxBytes, signal));
          permits.push(await places.acquire(tiles, signal));
          checkOpen(true);
        } else {
          permits.push(orOverloaded(bytes.tryAcquire(maxBytes), 'queueBytes', maxBytes));
          permits.push(orOverloaded(places.tryAcquire(tiles), 'queueImages'));
        }
        checkDeadline(call, 0, call.waitsForCapacity ? 0 : placed);
      } catch (error) {
        release();
        throw error;
      }
      const [held, ofTiles] = permits as [Permit, Permit];
      let waitedMs = held.waitedMs + ofTiles.waitedMs;
      if (waitedMs > 0) call.trace?.phase('queue', waitedMs / 1000);
      return {
        shrink(needed, size) {
          ofTiles.shrink(needed);
          held.shrink(size);
        },
        place(size) {
          let used = false;
          const place: Reservation = {
            waitedMs,
            bytes: { waitedMs: 0, weight: size, shrink: () => {}, release: () => {} },
            release() {
              if (!used) ofTiles.shrink(ofTiles.weight - 1);
              used = true;
            },
          };
          waitedMs = 0;
          return place;
        },
        release,
      };
    },
    hold(size) {
      return orOverloaded(size > limits.queueBytes ? undefined : bytes.tryAcquire(size), 'queueBytes', size);
    },
    async run(image, wants, call, reservation) {
      const pixels = image.width * image.height;
      const size = image.data.byteLength;
      const permits: Pick<Permit, 'release'>[] = reservation ? [reservation] : [];
      try {
        call.signal.throwIfAborted();
        checkOpen(reservation !== undefined);
        // Images that have a place run before an image without one.
        const placed = reservation ? 0 : decoding();
        if (!reservation) permits.push(orOverloaded(places.tryAcquire(1), 'queueImages'));
        reservation?.bytes?.shrink(size);
        const lacking = size - (reservation?.bytes?.weight ?? 0);
        const own = size > limits.queueBytes ? undefined : bytes.tryAcquire(lacking);
        permits.push(orOverloaded(own, 'queueBytes', size));
        checkDeadline(call, pixels, placed);
      } catch (error) {
        for (const permit of permits) permit.release();
        throw error;
      }
      return new Promise<EngineOutputs>((resolve, reject) => {
        const onAbort = () => {
          if (waiting.includes(item)) remove(new Set([item]));
          reject(call.signal.reason);
        };
        const settle = () => call.signal.removeEventListener('abort', onAbort);
        const item: Item = {
          key: `${image.width}x${image.height}:${[...wants].sort().join()}`,
          image,
          pixels,
          wants,
          call,
          permits,
          waitedMs: reservation?.waitedMs ?? 0,
          enqueued: performance.now(),
          resolve: (outputs) => {
            settle();
            resolve(outputs);
          },
          reject: (error) => {
            settle();
            reject(error);
          },
        };
        call.signal.addEventListener('abort', onAbort, { once: true });
        waiting.push(item);
        work.add(item);
        pumpSoon();
      });
    },
    get full() {
      // While no image is accepted at all, `reserve` throws the reason.
      return places.canAcquire(1) || closed || engine.status.state === 'down' ? undefined : overloaded('queueImages');
    },
    get depth() {
      return waiting.length;
    },
    get blocked() {
      return blocked();
    },
    async close() {
      closed = true;
      pumpSoon();
      while (running.size > 0 || places.held > 0 || bytes.held > 0 || blocked() > 0) {
        // Waiting images may be about to run, or wait for a worker that is starting; images with a reservation are being decoded.
        await (running.size > 0 ? Promise.race(running) : new Promise((next) => setTimeout(next, 10)));
      }
      clearTimeout(alarm);
      unwatch();
    },
  };
}
