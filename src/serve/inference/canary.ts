import { type Engine, EngineError, type EngineOutputs, type OutputName } from '../../engine/engine.js';
import type { Size } from '../../image/types.js';
import { elementCount, tensor } from '../../tensor/tensor.js';
import { ownSize } from './inputSizes.js';

/** Grey pictures that are not constant, uint8 [count, height, width, 3]. */
export function testPictures({ width, height }: Size, count: number) {
  const shape = [count, height, width, 3];
  return tensor(
    'uint8',
    shape,
    Uint8Array.from({ length: elementCount(shape) }, (_, i) => 96 + ((i * 7) % 64)),
  );
}

/** One test picture of the model's own size, for which every worker is warmed up. */
export const ownPicture = ({ manifest }: Pick<Engine, 'manifest'>) => testPictures(ownSize(manifest), 1);

/** @throws EngineError `internal` naming an output that is not finite */
export function checkFinite(outputs: EngineOutputs): void {
  for (const [name, { data }] of Object.entries(outputs)) {
    if (!data.every(Number.isFinite)) throw new EngineError('internal', `output ${name} of the canary is not finite`);
  }
}

/**
 * Runs one real inference of a test picture of the model's own size on the next idle worker.
 * @throws EngineError if it fails, or an output is not finite.
 */
export async function runCanary(engine: Engine): Promise<void> {
  checkFinite(await engine.run(ownPicture(engine), new Set<OutputName>(['representation'])));
}
