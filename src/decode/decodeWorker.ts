/**
 * A decode process: decodes and resizes one picture after the other. The bytes come from strangers and libvips is native code: a
 * crash in it, or memory that runs out, ends this process and nothing else.
 */
import { writeFileSync } from 'node:fs';
import sharp from 'sharp';
import { runWorkerLoop } from '../engine/workerLoop.js';
import { decodeInput } from '../image/decodeInput.js';
import { ImageError } from '../image/imageError.js';
import { restrictLoaders } from '../image/loaders.js';
import { decodeMask } from '../image/mask.js';
import { type DecodeFailure, type DecodeWork, inputTensors, maskTensors, readPicture } from './messages.js';

/** Of -1000 to 1000; a process may always raise its own. */
const OOM_SCORE = '800';

/** Where memory runs out, Linux is to take this process and not the service, which is larger. */
function offerToOomKiller(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', OOM_SCORE);
  } catch {
    // Another system, or one that forbids it.
  }
}

// As ps and top show it.
process.title = 'vicregl-decode';

runWorkerLoop<null, null, DecodeWork, DecodeFailure>({
  async open() {
    offerToOomKiller();
    restrictLoaders();
    // The processes are the concurrency; and no picture comes twice.
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
