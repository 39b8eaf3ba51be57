import { InferenceSession } from '../../src/onnx/runtime.js';

/**
 * Preloaded into a worker process (`breakingRuntime`), this makes its runtime fail as a broken CUDA context does: after SIGUSR2,
 * every run of the process fails, but the process stays alive. A batch whose first image starts with the `poison` fails alone,
 * without an effect on later runs.
 */

/** First bytes of an image that makes the runtime fail. */
export const poison = [1, 2, 3, 4, 5, 6, 7] as const;

/** Environment that makes worker processes load this file. */
export const breakingRuntime = { NODE_OPTIONS: `--import=${import.meta.url}` };

if (process.argv[1]?.endsWith('onnxWorker.js')) {
  let broken = false;
  process.on('SIGUSR2', () => {
    broken = true;
  });
  const { prototype } = InferenceSession as unknown as { readonly prototype: InferenceSession };
  const run = prototype.run as (this: InferenceSession, ...args: unknown[]) => Promise<InferenceSession.ReturnType>;
  prototype.run = async function (feeds: InferenceSession.FeedsType, ...rest: unknown[]) {
    if (broken) throw new Error('CUDA failure 700: an illegal memory access was encountered');
    const pixels = feeds['images']?.data as Uint8Array | undefined;
    if (pixels !== undefined && poison.every((byte, i) => pixels[i] === byte)) throw new Error('a poisoned image');
    return run.call(this, feeds, ...rest);
  };
}
