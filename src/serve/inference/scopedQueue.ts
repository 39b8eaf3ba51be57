import type { EngineOutputs, OutputName } from '../../engine/engine.js';
import type { RgbImage } from '../../image/types.js';
import type { Call } from '../call/call.js';
import type { BatchQueue, Reservation, TileReservation } from './batchQueue.js';

/**
 * The queue within a scope: a call, or a part of one. Places are reserved before images are decoded, and each image that runs uses
 * one of them. Places that are unused when the scope ends, because images were rejected or not needed, are released.
 */
export interface ScopedQueue {
  /**
   * Reserves a place for the next image that runs, as BatchQueue: `reserveWaiting` for a call that waits for capacity, else
   * `reserve`.
   * @param maxBytes maximum bytes of the image, which is not decoded yet
   */
  reserve(call: Call, maxBytes: number): Promise<void>;
  /**
   * Acquires the bytes of an image that is decoded and does not run yet, for the place that was reserved last; bytes that the place
   * has already are enough.
   * @throws as BatchQueue
   */
  hold(size: number): void;
  /** As BatchQueue. What is not released when the scope ends is released then. */
  reserveTiles(call: Call, tiles: number, maxBytes: number): Promise<ScopedTiles>;
  /** As BatchQueue, with a reserved place if there is one. */
  run(image: RgbImage, wants: ReadonlySet<OutputName>, call: Call): Promise<EngineOutputs>;
  /** Works with the queue in a nested scope, which ends before this one. */
  scope<T>(work: (queue: ScopedQueue) => Promise<T>): Promise<T>;
}

/** The places of the tiles of one image. */
export interface ScopedTiles extends Pick<TileReservation, 'shrink' | 'release'> {
  /** As BatchQueue, with one of the places. */
  run(image: RgbImage, wants: ReadonlySet<OutputName>, call: Call): Promise<EngineOutputs>;
}

/** Works with a queue in a scope that ends with the work. */
export async function withScopedQueue<T>(
  queue: Pick<BatchQueue, 'reserve' | 'reserveWaiting' | 'reserveTiles' | 'hold' | 'run'>,
  work: (queue: ScopedQueue) => Promise<T>,
): Promise<T> {
  const reserved: Reservation[] = [];
  const tiled: TileReservation[] = [];
  let ended = false;
  try {
    return await work({
      reserve: async (call, maxBytes) => {
        const place = call.waitsForCapacity ? await queue.reserveWaiting(call, maxBytes) : queue.reserve(call);
        // The scope may have ended during the wait, because another of its images failed.
        if (ended) place.release();
        else reserved.push(place);
      },
      hold: (size) => {
        const place = reserved.at(-1);
        if (place === undefined || place.bytes) return;
        const bytes = queue.hold(size);
        const release = (): void => {
          bytes.release();
          place.release();
        };
        reserved[reserved.length - 1] = { waitedMs: place.waitedMs, bytes, release };
      },
      reserveTiles: async (call, tiles, maxBytes) => {
        const places = await queue.reserveTiles(call, tiles, maxBytes);
        if (ended) places.release();
        else tiled.push(places);
        return {
          shrink: places.shrink,
          release: places.release,
          run: (image, wants, own) => queue.run(image, wants, own, places.place(image.data.byteLength)),
        };
      },
      run: (image, wants, call) => queue.run(image, wants, call, reserved.pop()),
      scope: (part) => withScopedQueue(queue, part),
    });
  } finally {
    ended = true;
    for (const place of [...reserved, ...tiled]) place.release();
  }
}
