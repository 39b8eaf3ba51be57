import type { Value } from '../onnx/graph.js';
import { add, cast, mul } from '../onnx/ops/elementwise.js';
import { tensor } from '../tensor/tensor.js';

/** RGB mean and standard deviation of ImageNet in 0..1 (the authors' training code has .228 for the first std: a typo). */
export const IMAGENET_MEAN: readonly [number, number, number] = [0.485, 0.456, 0.406];
export const IMAGENET_STD: readonly [number, number, number] = [0.229, 0.224, 0.225];

/** uint8 [B, H, W, 3] -> normalised float32 [B, H, W, 3]: (x / 255 - mean) / std as one product and one sum. */
export function normalisePixels(pixels: Value): Value {
  const { graph } = pixels;
  const scale = IMAGENET_STD.map((std) => 1 / (255 * std));
  const shift = IMAGENET_MEAN.map((mean, i) => -mean / IMAGENET_STD[i]!);
  const constant = (values: number[]) => graph.constant(tensor('float32', [3], Float32Array.from(values)));
  return add(mul(cast(pixels, 'float32'), constant(scale)), constant(shift));
}
