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
 * Runs a batch, and where memory runs out its halves, down to single images: what fits is answered. Where it fails otherwise,
 * its images are run by themselves, so that one at which the runtime fails costs no other its answer.
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
    const code = error instanceof EngineError ? error.code : undefined;
    if (code === 'out_of_memory') options.onOutOfMemory?.(images.length);
    // A worker that died, or that is closed, would take the next run with it.
    if (images.length === 1 || (code !== 'out_of_memory' && code !== 'internal')) return images.map(() => ({ error }));
    const size = code === 'out_of_memory' ? Math.ceil(images.length / 2) : 1;
    const outcomes: Outcome[] = [];
    for (let from = 0; from < images.length; from += size) {
      outcomes.push(...(await splitRun(engine, images.slice(from, from + size), wants, options)));
    }
    return outcomes;
  }
}
