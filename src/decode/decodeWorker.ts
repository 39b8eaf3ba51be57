/**
 * A decode process: decodes and resizes one image after the other. The bytes are untrusted and libvips is native code: a crash,
 * or lack of memory, ends only this process.
 */
import { writeFileSync } from 'node:fs';
import sharp from 'sharp';
import { runWorkerLoop } from '../engine/workerLoop.js';
import { decodeInput } from '../image/decodeInput.js';
import { ImageError } from '../image/imageError.js';
import { restrictLoaders } from '../image/loaders.js';
import { decodeMask } from '../image/mask.js';
import { type DecodeFailure, type DecodeWork, inputTensors, maskTensors, readPicture } from './messages.js';

/** oom_score_adj, -1000 to 1000; a process may always increase its own. */
const OOM_SCORE = '800';

/** When memory runs out, Linux should kill this process and not the service, which is larger. */
function offerToOomKiller(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', OOM_SCORE);
  } catch {
    // Not Linux, or not permitted.
  }
}

// The name in ps and top.
process.title = 'vicregl-decode';

runWorkerLoop<null, null, DecodeWork, DecodeFailure>({
  async open() {
    offerToOomKiller();
    restrictLoaders();
    // Concurrency comes from the number of processes, and a cache is useless since images do not repeat.
    sharp.concurrency(1);
    sharp.cache(false);
    return {
      opened: null,
      async work(work, tensors, signal) {
        if (work.kind === 'input')
          return inputTensors(await decodeInput(readPicture(work, tensors), work.wanted, signal));
        return maskTensors(await decodeMask(tensors['png']!.data as Uint8Array, work.size, 0));
      },
      async close() {},
    };
  },
  failureOf: (error) => (error instanceof ImageError ? { code: error.code } : {}),
});
