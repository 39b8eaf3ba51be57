import { InferenceSession } from '../../src/onnx/runtime.js';

/**
 * Loaded before a worker process begins (`breakingRuntime`), makes its runtime fail as a CUDA context does: from SIGUSR2 on
 * every run of this process fails, while the process lives on. A batch whose first image begins with the `poison` fails by
 * itself, and changes nothing.
 */

/** The first bytes of an image at which the runtime fails. */
export const poison = [1, 2, 3, 4, 5, 6, 7] as const;

/** Environment in which worker processes load this file. */
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
