import type { EngineOutputs, ImageBatch, OutputName } from '../../engine/engine.js';
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
