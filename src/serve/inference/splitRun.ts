import { type Engine, EngineError, type EngineOutputs, type ImageBatch, type OutputName } from '../../engine/engine.js';
import type { RgbImage } from '../../image/types.js';
import { elementCount, tensor } from '../../tensor/tensor.js';

/**
 * Stacks images of one size, uint8 [B, H, W, 3].
 * @throws RangeError when sizes differ.
 */
export function joinImages(images: readonly RgbImage[]): ImageBatch {
  const first = images[0]!;
  const size = first.width * first.height * 3;
  const data = images.length === 1 ? first.data : new Uint8Array(size * images.length);
  if (images.length > 1) for (const [i, image] of images.entries()) data.set(image.data, i * size);
  return tensor('uint8', [images.length, first.height, first.width, 3], data);
}

/** Splits outputs [B, ...] into B times outputs [1, ...], views of the same memory. */
export function splitOutputs(outputs: EngineOutputs, images: number): EngineOutputs[] {
  const entries = Object.entries(outputs) as [OutputName, NonNullable<EngineOutputs[OutputName]>][];
  return Array.from({ length: images }, (_, i) =>
    Object.fromEntries(
      entries.map(([name, { shape, data }]) => {
        const inner = shape.slice(1);
        const size = elementCount(inner);
        return [name, tensor('float32', [1, ...inner], data.subarray(i * size, (i + 1) * size))];
      }),
    ),
  );
}

/** Result of one image of a batch. */
export type Outcome = { readonly outputs: EngineOutputs } | { readonly error: unknown };

export interface SplitRunOptions {
  /** Batch sizes, such as 1, 2, 4, ...: a batch is padded to the smallest that holds it. Default: no padding. */
  readonly sizes?: readonly number[] | undefined;
  /** Called when a batch of so many images did not fit into memory. */
  readonly onOutOfMemory?: (images: number) => void;
}

/** The images, padded with copies of the last one to the next size. */
function padded(images: readonly RgbImage[], sizes: readonly number[] = []): RgbImage[] {
  const size = sizes.find((each) => each >= images.length) ?? images.length;
  return [...images, ...Array.from({ length: size - images.length }, () => images.at(-1)!)];
}

/**
 * Runs a batch. If memory runs out, it runs the halves, down to single images, so that every image that fits is answered. If the
 * runtime fails otherwise, it runs each image alone, so that one bad image does not fail the others.
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
    // If the worker died or was closed, the next run would fail too.
    if (images.length === 1 || (code !== 'out_of_memory' && code !== 'internal')) return images.map(() => ({ error }));
    const size = code === 'out_of_memory' ? Math.ceil(images.length / 2) : 1;
    const outcomes: Outcome[] = [];
    for (let from = 0; from < images.length; from += size) {
      outcomes.push(...(await splitRun(engine, images.slice(from, from + size), wants, options)));
    }
    return outcomes;
  }
}
