/** A loader thread: makes its share of each requested batch, in the order of the requests. */

import { parentPort, workerData } from 'node:worker_threads';
import sharp from 'sharp';
import { DataError } from './dataError.js';
import { decodedCache } from './decodedCache.js';
import type { WorkerReply, WorkerRequest, WorkerSettings } from './loaderMessages.js';
import { createSampler, type SkippedImage } from './sample.js';
import { openReader } from './sourceReader.js';

if (parentPort === null) throw new Error('loaderWorker.js runs as a worker thread of the loader only');
const port = parentPort;
const { samples, index, cacheBytes } = workerData as WorkerSettings;

// Both settings of libvips apply to the whole process. One thread per image, because the training step needs the other cores. No
// cache of operations, because crops do not repeat.
sharp.concurrency(1);
sharp.cache(false);

const reader = openReader(index);
const sample = createSampler(samples, index, reader, decodedCache(cacheBytes));
const queue: (WorkerRequest & { kind: 'samples' })[] = [];
let working = false;
let closing = false;

async function make(request: WorkerRequest & { kind: 'samples' }): Promise<WorkerReply | undefined> {
  const count = request.slots.length;
  const views = samples.views.map(({ size }) => new Uint8Array(count * size * size * 3));
  const locations = samples.views.map(({ cells }) => new Float32Array(count * cells * cells * 2));
  const indices: number[] = [];
  const skipped: SkippedImage[] = [];
  for (const [i, slot] of request.slots.entries()) {
    if (closing) return undefined;
    const made = await sample(request.epoch, slot);
    made.views.forEach((view, v) => {
      views[v]!.set(view, i * view.length);
    });
    made.locations.forEach((grid, v) => {
      locations[v]!.set(grid, i * grid.length);
    });
    indices.push(made.index);
    skipped.push(...made.skipped);
  }
  return { kind: 'samples', step: request.step, places: request.places, indices, views, locations, skipped };
}

async function work(): Promise<void> {
  if (working) return;
  working = true;
  for (let request = queue.shift(); request !== undefined && !closing; request = queue.shift()) {
    try {
      const reply = await make(request);
      if (reply?.kind === 'samples') {
        port.postMessage(
          reply,
          [...reply.views, ...reply.locations].map(({ buffer }) => buffer),
        );
      }
    } catch (error) {
      const told = error instanceof DataError && (error.code === 'undecodable' || error.code === 'changed');
      const code = told ? error.code : 'worker_failed';
      const message = error instanceof Error ? error.message : String(error);
      port.postMessage({ kind: 'failure', step: request.step, code, message } satisfies WorkerReply);
    }
  }
  working = false;
  if (closing) {
    await reader.close();
    // Once the port is closed, nothing keeps the thread alive: it ends on its own, never inside a native call.
    port.close();
  }
}

port.on('message', (request: WorkerRequest) => {
  if (request.kind === 'close') closing = true;
  else queue.push(request);
  void work();
});
