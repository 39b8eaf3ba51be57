import { type Engine, EngineError, type WarmUp } from '../../engine/engine.js';
import type { OutputLimits } from '../../image/resize.js';
import type { Size } from '../../image/types.js';
import { batchSizesFor, type ConfiguredRun, runLimits } from '../config/runLimits.js';
import { checkFinite, ownPicture, testPictures } from './canary.js';
import { warmSizes } from './inputSizes.js';

/** What decides for which inputs an engine is made ready. */
export interface WarmLimits extends ConfiguredRun {
  readonly output?: Pick<OutputLimits, 'inputSizes'>;
}

const ranOutOfMemory = (error: unknown): boolean => error instanceof EngineError && error.code === 'out_of_memory';

/**
 * Computes every output for pictures of one size in batches of growing counts, up to the first that does not fit into memory: a
 * request whose batch does not fit is answered in halves (`splitRun`), so that larger ones need not be ready.
 * @param counts images, from the least
 * @throws EngineError where one image alone does not fit, a run fails otherwise, or its answer is not finite.
 */
async function warmSize({ outputs }: Engine, run: Engine['run'], size: Size, counts: readonly number[]): Promise<void> {
  for (const count of counts) {
    try {
      checkFinite(await run(testPictures(size, count), outputs));
    } catch (error) {
      if (count > 1 && ranOutOfMemory(error)) return;
      throw error;
    }
  }
}

/**
 * Makes every worker of an engine, also those that are started later, ready for its first request: it computes every output at
 * the model's own size and at each size to which inputs are limited.
 *
 * On CUDA, where every new shape costs a search for kernels of up to a second, it does so for every batch size, so that with
 * limited sizes no request ever meets a new shape. Batches of more than one image that do not fit into memory are left out.
 *
 * A worker in which a run failed has to compute every output for one image of the model's own size before it goes on; else it
 * is replaced.
 * @throws EngineError where a run fails otherwise, or its answer is not finite; ServeError as `warmSizes`.
 */
export async function warmEngine(engine: Engine, limits: WarmLimits): Promise<void> {
  const most = runLimits(limits, engine);
  const sizes = warmSizes(engine.manifest, limits.output?.inputSizes);
  const warmUp: WarmUp = async (run) => {
    for (const size of sizes) {
      const batches = engine.provider === 'cuda' ? batchSizesFor(most, size.width * size.height) : [1];
      await warmSize(engine, run, size, batches);
    }
  };
  await engine.warm(warmUp, async (run) => checkFinite(await run(ownPicture(engine), engine.outputs)));
}
