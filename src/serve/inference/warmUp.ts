import { type Engine, EngineError, type WarmUp } from '../../engine/engine.js';
import type { OutputLimits } from '../../image/resize.js';
import type { Size } from '../../image/types.js';
import { batchSizesFor, type ConfiguredRun, runLimits } from '../config/runLimits.js';
import { checkFinite, ownPicture, testPictures } from './canary.js';
import { warmSizes } from './inputSizes.js';

/** The limits that determine for which inputs an engine is warmed up. */
export interface WarmLimits extends ConfiguredRun {
  readonly output?: Pick<OutputLimits, 'inputSizes'>;
}

const ranOutOfMemory = (error: unknown): boolean => error instanceof EngineError && error.code === 'out_of_memory';

/**
 * Computes every output for pictures of one size in batches of increasing size, up to the first that does not fit into memory.
 * Batches that do not fit are run in halves (`splitRun`), so larger ones need no warm-up.
 * @param counts images per batch, in ascending order
 * @throws EngineError if a single image does not fit, a run fails otherwise, or an output is not finite.
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
 * Warms up every worker of an engine, also those that are started later: it computes every output at the model's own size and at
 * each allowed size of inputs.
 *
 * On CUDA, where each new shape costs a search for kernels of up to a second, it does so for every batch size, so that with
 * limited sizes no request has a new shape. Batches of more than one image that do not fit into memory are skipped.
 *
 * A worker in which a run failed has to compute every output for one image of the model's own size before it continues;
 * otherwise it is replaced.
 * @throws EngineError if a run fails otherwise, or an output is not finite; ServeError as `warmSizes`.
 */
export async function warmEngine(engine: Engine, limits: WarmLimits): Promise<void> {
  const batchLimits = runLimits(limits, engine);
  const sizes = warmSizes(engine.manifest, limits.output?.inputSizes);
  const warmUp: WarmUp = async (run) => {
    for (const size of sizes) {
      const batches = engine.provider === 'cuda' ? batchSizesFor(batchLimits, size.width * size.height) : [1];
      await warmSize(engine, run, size, batches);
    }
  };
  await engine.warm(warmUp, async (run) => checkFinite(await run(ownPicture(engine), engine.outputs)));
}
