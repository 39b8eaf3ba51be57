import { type Engine, EngineError, type EngineOutputs, type OutputName, type WarmUp } from '../../engine/engine.js';
import type { OutputLimits } from '../../image/resize.js';
import type { Size } from '../../image/types.js';
import { elementCount, tensor } from '../../tensor/tensor.js';
import { batchSizesFor, type ConfiguredRun, runLimits } from '../config/runLimits.js';
import { ownSize, warmSizes } from './inputSizes.js';

/** A picture that is grey with a gradient, so that nothing is constant. uint8 [count, height, width, 3] */
function picture({ width, height }: Size, count: number) {
  const shape = [count, height, width, 3];
  return tensor(
    'uint8',
    shape,
    Uint8Array.from({ length: elementCount(shape) }, (_, i) => 96 + ((i * 7) % 64)),
  );
}

function checkFinite(outputs: EngineOutputs): void {
  for (const [name, { data }] of Object.entries(outputs)) {
    if (!data.every(Number.isFinite)) throw new EngineError('internal', `output ${name} of the canary is not finite`);
  }
}

/** One image of the model's own size, which every worker has run when it was warmed. */
const ownPicture = ({ manifest }: Pick<Engine, 'manifest'>) => picture(ownSize(manifest), 1);

/**
 * One real inference, at the model's own size, by the next free worker.
 * @throws EngineError where it fails, or its answer is not finite.
 */
export async function runCanary(engine: Engine): Promise<void> {
  checkFinite(await engine.run(ownPicture(engine), new Set<OutputName>(['representation'])));
}

/** What decides for which inputs an engine is made ready. */
export interface WarmLimits extends ConfiguredRun {
  readonly output?: Pick<OutputLimits, 'inputSizes'>;
}

const ranOutOfMemory = (error: unknown): boolean => error instanceof EngineError && error.code === 'out_of_memory';

/**
 * Runs everything for pictures of one size in batches of growing counts, up to the first that does not fit into memory: a
 * request whose batch does not fit is answered in halves (`splitRun`), so that larger ones need not be ready.
 * @param counts images, from the least
 * @throws EngineError where one image alone does not fit, a run fails otherwise, or its answer is not finite.
 */
async function warmSize({ outputs }: Engine, run: Engine['run'], size: Size, counts: readonly number[]): Promise<void> {
  for (const count of counts) {
    try {
      checkFinite(await run(picture(size, count), outputs));
    } catch (error) {
      if (count > 1 && ranOutOfMemory(error)) return;
      throw error;
    }
  }
}

/**
 * Makes every worker of an engine, also those that come later, ready for its first request: one run of everything at the
 * model's own size and each to which inputs are limited. On CUDA, where every new shape costs a search for kernels of up to a
 * second, one for every batch size, so that with limited sizes no request ever meets a new shape; batches of more than
 * one image that do not fit into memory are left out. A worker at whose work the runtime fails has to run everything for one
 * image of the model's own size before it goes on, or it is replaced.
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
