import type { Resize } from '../client/image.js';
import type { Size } from '../image/types.js';

/** How a whole photograph becomes network input; its sides become multiples of the model's stride. */
export type PhotographSize =
  /** Its own size. */
  | { readonly kind: 'native' }
  /** Its longest or its shortest side in pixels; the other one keeps the aspect. */
  | { readonly kind: 'longest' | 'shortest'; readonly side: number }
  /** Stretched to this size. */
  | { readonly kind: 'fit'; readonly width: number; readonly height: number };

/** The resize policy that makes the network see all of a photograph of a given size. */
export function wholePhotograph(photograph: Size, size: PhotographSize, stride: number): Resize {
  if (size.kind === 'native' || size.kind === 'fit') return size;
  const { width, height } = photograph;
  const scale = size.side / (size.kind === 'longest' ? Math.max(width, height) : Math.min(width, height));
  const multiple = (side: number): number => Math.max(1, Math.round((side * scale) / stride)) * stride;
  return { kind: 'fit', width: multiple(width), height: multiple(height) };
}
