import { type Engine, EngineError, type EngineOutputs, type OutputName } from '../../engine/engine.js';
import type { RgbImage } from '../../image/types.js';
import { createRoom, type Held } from '../admission/weightedSemaphore.js';
import type { Call } from '../call/call.js';
import { ServeError } from '../call/serveError.js';
import { batchSizes, type ConfiguredRun, runLimits } from '../config/runLimits.js';
import { createPatientBytes } from './patientBytes.js';
import { createServiceRate } from './rate.js';
import { splitRun } from './splitRun.js';

export interface QueueLimits extends ConfiguredRun {
  /** Images that may wait, or have a place and are on their way. */
  readonly queueImages: number;
  /** Bytes of images that may wait. */
  readonly queueBytes: number;
  /** How long a batch that is not full waits for company while a worker is free, in ms. Default 0. */
  readonly maxQueueDelayMs?: number;
}

/** Told what happens in the queue, for metrics. */
export interface QueueObserver {
  /** A run of so many images began. */
  batch?(images: number): void;
}

/** Puts images of one size that want the same outputs into one run of the engine. */
export interface BatchQueue {
  /**
   * Takes a place for an image before anything is spent on decoding it; `run` gives it back.
   * @throws ServeError and EngineError as `run`.
   */
  reserve(call: Call): Held;
  /** The same for a call that is patient: it waits where the queue is full, and is not refused for that. */
  reserveInTurn(call: Call): Promise<Held>;
  /**
   * Computes the wanted outputs of one image; each keeps a leading dimension of 1.
   * @param place what was reserved for it: with one, it is not refused for the number of images, nor while closing
   * @throws ServeError `overloaded` when the queue is full, `deadline_exceeded` when the call's deadline cannot be met,
   *   `shutting_down` after `close`, or the call's own reason when it is aborted; EngineError when the run fails.
   */
  run(image: RgbImage, wants: ReadonlySet<OutputName>, call: Call, place?: Held): Promise<EngineOutputs>;
  /** What an image of any size is refused with for want of room; undefined where there is some. */
  readonly full: ServeError | undefined;
  /** Images that wait, without those that run. */
  readonly depth: number;
  /** Patient calls that wait for a place. */
  readonly awaited: number;
  /** Takes no more, and resolves when what was taken, or has a place, has run. */
  close(): Promise<void>;
}

/** What the queue needs of an engine. */
export type QueueEngine = Pick<Engine, 'run' | 'idle' | 'status' | 'watch' | 'provider'>;

interface Item {
  readonly key: string;
  readonly image: RgbImage;
  readonly pixels: number;
  readonly wants: ReadonlySet<OutputName>;
  readonly call: Call;
  readonly place: Held;
  readonly enqueued: number;
  resolve(outputs: EngineOutputs): void;
  reject(error: unknown): void;
}

/** A batch and when it may run, as performance.now(). */
interface Candidate {
  readonly batch: Item[];
  readonly runAt: number;
}

/** What fitted when memory ran out. */
interface Fitting {
  readonly images: number;
  /** As performance.now(): what else took the memory may have gone by then. */
  readonly until: number;
}

/** How long batches stay smaller after memory ran out, in ms. */
const FITTING_MS = 60_000;

/** Retry hints in seconds: within some batches of a small CPU, and no client is sent away for longer than this. */
const RETRY_SECONDS = { unknown: 1, least: 0.05, most: 30 };

/**
 * A bounded, first-come queue in front of an engine. A free worker gets the next batch at the end of the running turn: no
 * request waits for company unless `maxQueueDelayMs` says so, but the two images of one Match meet, and company gathers by
 * itself while workers are busy. A batch is the oldest image and those behind it of the same size and wants, so that no size
 * waits for ever. A call that is aborted, or whose deadline passes, leaves the queue at once.
 */
export function createBatchQueue(engine: QueueEngine, limits: QueueLimits, observer: QueueObserver = {}): BatchQueue {
  let waiting: Item[] = [];
  let waitingBytes = 0;
  let waitingPixels = 0;
  let runningPixels = 0;
  /** Of the image that came last: what others that are still being decoded will have, as far as is known. */
  let lastPixels = 0;
  let closed = false;
  let pumping = false;
  let alarm: NodeJS.Timeout | undefined;
  const running = new Set<Promise<void>>();
  const patient = createPatientBytes(limits.queueBytes);
  const places = createRoom(limits.queueImages, patient.leaveRoom);
  const rate = createServiceRate();
  /** Images of a batch that fitted into memory, by size and wants; absent where none ever failed to. */
  const fitting = new Map<string, Fitting>();
  const largest = runLimits(limits, engine);
  const sizes = engine.provider === 'cuda' ? batchSizes(largest.images) : undefined;
  const { maxQueueDelayMs = 0 } = limits;

  const standing = (): number =>
    engine.status.workers.filter(({ state }) => state === 'idle' || state === 'busy').length;

  /**
   * Half of what runs is done on average.
   * @param placed images that have a place and come before one that asks
   */
  const secondsToWait = (placed = 0): number | undefined =>
    rate.secondsFor(waitingPixels + runningPixels / 2 + placed * lastPixels, standing());

  /** Images of a batch that fit into memory, as far as is known. */
  function fittingImages(key: string): number {
    const found = fitting.get(key);
    if (found === undefined) return Number.POSITIVE_INFINITY;
    if (performance.now() < found.until) return found.images;
    fitting.delete(key);
    return Number.POSITIVE_INFINITY;
  }

  function retryAfter(): number {
    const { unknown, least, most } = RETRY_SECONDS;
    // When half of what waits has gone, there is room again for a while.
    const seconds = secondsToWait();
    return seconds === undefined ? unknown : Math.min(most, Math.max(least, seconds / 2));
  }

  /** Images that have a place and are being decoded. */
  const decoding = (): number => places.held - waiting.length;

  function noWorker(): EngineError {
    const { reason, publicReason } = engine.status;
    const message = (why = 'unknown reason'): string => `no inference worker stands: ${why}`;
    return new EngineError('unavailable', message(reason), { publicMessage: message(publicReason) });
  }

  function overloaded(limit: 'queueImages' | 'queueBytes'): ServeError {
    const message =
      `the queue is full (${waiting.length} images, ${waitingBytes} bytes wait, ${decoding()} are being decoded; at most ` +
      `${limits.queueImages} images, ${limits.queueBytes} bytes may); try again later`;
    const details = { limit: { name: limit, value: limits[limit] }, retryAfterSeconds: retryAfter() } as const;
    return new ServeError('overloaded', message, details);
  }

  /** @throws where nothing may come in, whatever room there is */
  function refuseAtAll(hasPlace = false): void {
    if (closed && !hasPlace) throw new ServeError('shutting_down', 'the server is shutting down; ask another one');
    if (engine.status.state === 'down') throw noWorker();
  }

  /**
   * @param image what comes in; absent while nobody knows yet
   * @throws where it may not; one that has a place has been counted
   */
  function admit(image: RgbImage | undefined, { deadline }: Call, hasPlace: boolean): void {
    const bytes = image?.data.byteLength ?? 0;
    refuseAtAll(hasPlace);
    if (!hasPlace && !places.fits(1)) throw overloaded('queueImages');
    if (waitingBytes + bytes > limits.queueBytes) throw overloaded('queueBytes');
    if (deadline === undefined) return;
    // Places are taken in order: those that others have come before one that asks for its own.
    const placed = hasPlace ? 0 : decoding();
    const before = secondsToWait(placed);
    const own = image === undefined ? 0 : rate.secondsFor(image.width * image.height, 1);
    if (before === undefined || own === undefined) return;
    if (Date.now() + (before + own) * 1000 > deadline) {
      const message =
        `the deadline in ${deadline - Date.now()} ms cannot be met: ${waiting.length + placed} images wait before this one, ` +
        `for about ${Math.round(before * 1000)} ms, and it takes ${Math.round(own * 1000)} ms itself; allow more time or try ` +
        'again later';
      throw new ServeError('deadline_exceeded', message, { retryAfterSeconds: retryAfter() });
    }
  }

  function remove(items: ReadonlySet<Item>): void {
    waiting = waiting.filter((item) => !items.has(item));
    for (const { image, pixels, place, call } of items) {
      waitingBytes -= image.data.byteLength;
      if (call.patient) patient.left(image.data.byteLength);
      waitingPixels -= pixels;
      place.release();
    }
  }

  /** Calls are aborted at their deadline by a timer; one that is late because this thread was busy is found here. */
  function dropLate(): void {
    const now = Date.now();
    const late = waiting.filter(({ call }) => call.deadline !== undefined && call.deadline <= now);
    if (late.length === 0) return;
    remove(new Set(late));
    for (const item of late) {
      item.reject(new ServeError('deadline_exceeded', 'the deadline of the call passed before a worker was free'));
    }
  }

  /** The batch that begins with an image, and whether it may run now or waits for company until `runAt` (performance.now()). */
  function batchOf({ key, enqueued }: Item): Candidate {
    const most = Math.min(largest.images, fittingImages(key));
    const batch: Item[] = [];
    let pixels = 0;
    let full = false;
    for (const item of waiting) {
      if (item.key !== key) continue;
      full = batch.length > 0 && (batch.length >= most || pixels + item.pixels > largest.pixels);
      if (full) break;
      batch.push(item);
      pixels += item.pixels;
    }
    full ||= batch.length >= most || pixels + batch[0]!.pixels > largest.pixels;
    return { batch, runAt: full || closed ? 0 : enqueued + maxQueueDelayMs };
  }

  /** The oldest batch that may run now; where all wait for company, the one that waits no longer first. */
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
    const pixels = batch.reduce((sum, item) => sum + item.pixels, 0);
    runningPixels += pixels;
    try {
      const start = performance.now();
      for (const item of batch) item.call.observe('queue', (item.place.waitedMs + start - item.enqueued) / 1000);
      observer.batch?.(batch.length);
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
      if (outcomes.some((outcome) => 'outputs' in outcome)) rate.measured(pixels, seconds);
      for (const [i, item] of batch.entries()) {
        const outcome = outcomes[i]!;
        if ('error' in outcome) item.reject(outcome.error);
        else {
          item.call.observe('inference', seconds);
          item.resolve(outcome.outputs);
        }
      }
    } catch (error) {
      for (const item of batch) item.reject(error);
    } finally {
      runningPixels -= pixels;
    }
  }

  function refuseAll(): void {
    const items = waiting;
    remove(new Set(items));
    for (const item of items) {
      item.reject(noWorker());
    }
    places.turnAway(noWorker());
  }

  /** Gives every free worker a batch. */
  function pump(): void {
    clearTimeout(alarm);
    if (engine.status.state === 'down') refuseAll();
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

  /** At the end of this turn: what is offered in it (both images of a Match) rides along. */
  function pumpSoon(): void {
    if (pumping || (waiting.length === 0 && places.awaited === 0)) return;
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
      admit(undefined, call, false);
      return places.take(1);
    },
    async reserveInTurn(call) {
      call.signal.throwIfAborted();
      refuseAtAll();
      const place = await places.wait(1, call.signal);
      try {
        admit(undefined, call, true);
        return place;
      } catch (error) {
        place.release();
        throw error;
      }
    },
    async run(image, wants, call, reserved) {
      try {
        call.signal.throwIfAborted();
        admit(image, call, reserved !== undefined);
      } catch (error) {
        reserved?.release();
        throw error;
      }
      const place = reserved ?? places.take(1);
      lastPixels = image.width * image.height;
      return new Promise<EngineOutputs>((resolve, reject) => {
        const onAbort = () => {
          if (waiting.includes(item)) remove(new Set([item]));
          reject(call.signal.reason);
        };
        const settle = () => call.signal.removeEventListener('abort', onAbort);
        const item: Item = {
          key: `${image.width}x${image.height}:${[...wants].sort().join()}`,
          image,
          pixels: image.width * image.height,
          wants,
          call,
          place,
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
        waitingBytes += image.data.byteLength;
        if (call.patient) patient.waits(image.data.byteLength);
        waitingPixels += item.pixels;
        pumpSoon();
      });
    },
    get full() {
      // Where nothing can run at all, `reserve` says so.
      return places.fits(1) || closed || engine.status.state === 'down' ? undefined : overloaded('queueImages');
    },
    get depth() {
      return waiting.length;
    },
    get awaited() {
      return places.awaited;
    },
    async close() {
      closed = true;
      pumpSoon();
      while (running.size > 0 || places.held > 0 || places.awaited > 0) {
        // What waits may be about to run, or waits for a worker that is starting; what has a place is being decoded.
        await (running.size > 0 ? Promise.race(running) : new Promise((next) => setTimeout(next, 10)));
      }
      clearTimeout(alarm);
      unwatch();
    },
  };
}
