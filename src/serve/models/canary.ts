import { type Engine, EngineError, type EngineOutputs, type OutputName } from '../../engine/engine.js';
import { elementCount, tensor } from '../../tensor/tensor.js';
import { batchSizes, type ConfiguredRun, runLimits } from '../queue/runLimits.js';

/** A picture of the model's own size: grey with a gradient, so that nothing is constant. uint8 [count, side, side, 3] */
function picture(side: number, count: number) {
  const shape = [count, side, side, 3];
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

/**
 * One real inference, at the model's own size, by the next free worker.
 * @throws EngineError where it fails, or its answer is not finite.
 */
export async function runCanary(engine: Engine): Promise<void> {
  const { crop } = engine.manifest.preprocessing;
  checkFinite(await engine.run(picture(crop, 1), new Set<OutputName>(['representation'])));
}

/**
 * Makes every worker of an engine, also those that come later, ready for its first request: one run of everything, and on
 * CUDA, where every new shape costs a search for kernels of up to a second, of every batch size at the model's own size.
 * @throws EngineError where a run fails, or its answer is not finite.
 */
export async function warmEngine(engine: Engine, limits: ConfiguredRun): Promise<void> {
  const { crop } = engine.manifest.preprocessing;
  const sizes = engine.provider === 'cuda' ? batchSizes(runLimits(limits, engine).images) : [1];
  await engine.warm(async (run) => {
    for (const size of sizes) checkFinite(await run(picture(crop, size), engine.outputs));
  });
}
