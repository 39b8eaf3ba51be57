import { type Engine, EngineError, type EngineOutputs, type OutputName } from '../../engine/engine.js';
import type { RgbImage } from '../../image/types.js';
import { joinImages, splitOutputs } from './batch.js';

/** What became of one image of a batch. */
export type Outcome = { readonly outputs: EngineOutputs } | { readonly error: unknown };

export interface SplitRunOptions {
  /** Images that a batch is padded to, such as 1, 2, 4, ...: the smallest size that holds it. Default: no padding. */
  readonly sizes?: readonly number[] | undefined;
  /** Told that a batch of so many images did not fit into memory. */
  readonly onOutOfMemory?: (images: number) => void;
}

/** The images followed by copies of the last, up to the next size. */
function padded(images: readonly RgbImage[], sizes: readonly number[] = []): RgbImage[] {
  const size = sizes.find((each) => each >= images.length) ?? images.length;
  return [...images, ...Array.from({ length: size - images.length }, () => images.at(-1)!)];
}

/**
 * Runs a batch, and where memory runs out its halves, down to single images: what fits is answered.
 * @returns an outcome for each image, in order
 */
export async function splitRun(
  engine: Pick<Engine, 'run'>,
  images: readonly RgbImage[],
  wants: ReadonlySet<OutputName>,
  options: SplitRunOptions = {},
): Promise<Outcome[]> {
  try {
    const outputs = await engine.run(joinImages(padded(images, options.sizes)), wants);
    return splitOutputs(outputs, images.length).map((each) => ({ outputs: each }));
  } catch (error) {
    const ranOut = error instanceof EngineError && error.code === 'out_of_memory';
    if (ranOut) options.onOutOfMemory?.(images.length);
    if (!ranOut || images.length === 1) return images.map(() => ({ error }));
    const half = Math.ceil(images.length / 2);
    const first = await splitRun(engine, images.slice(0, half), wants, options);
    return [...first, ...(await splitRun(engine, images.slice(half), wants, options))];
  }
}
