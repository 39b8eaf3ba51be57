import type { EngineOutputs, OutputName } from '../../engine/engine.js';
import type { RgbImage } from '../../image/types.js';
import type { Held } from '../admission/weightedSemaphore.js';
import type { Call } from '../call/call.js';
import type { BatchQueue } from './batchQueue.js';

/** The queue as one call has it: an image that was given a place before it was decoded has it when it comes to run. */
export interface CallQueue {
  /** As of BatchQueue, in turn where the call is patient; the place is kept for the next image that runs. */
  reserve(call: Call): Promise<void>;
  /** As of BatchQueue, with the place that was kept where there is one. */
  run(image: RgbImage, wants: ReadonlySet<OutputName>, call: Call): Promise<EngineOutputs>;
  /** The queue as one part of the call has it: what that did not use is given back when it ends, not when the call does. */
  lend<T>(work: (queue: CallQueue) => Promise<T>): Promise<T>;
}

/** Lends the queue to a call: places that it did not use, as its images were refused or were not needed, are given back. */
export async function lendQueue<T>(
  queue: Pick<BatchQueue, 'reserve' | 'reserveInTurn' | 'run'>,
  work: (queue: CallQueue) => Promise<T>,
): Promise<T> {
  const places: Held[] = [];
  let ended = false;
  try {
    return await work({
      reserve: async (call) => {
        const place = call.patient ? await queue.reserveInTurn(call) : queue.reserve(call);
        // The call may have failed meanwhile for another of its images.
        if (ended) place.release();
        else places.push(place);
      },
      run: (image, wants, call) => queue.run(image, wants, call, places.pop()),
      lend: (part) => lendQueue(queue, part),
    });
  } finally {
    ended = true;
    for (const place of places) place.release();
  }
}
