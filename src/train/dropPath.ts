import { type BackboneConfig, dropPathBlocks } from '../nn/backbone.js';
import { type DropPath, dropPathFrom, keepProbabilities } from '../nn/dropPath.js';
import type { Graph } from '../onnx/graph.js';
import { concat, reshape, slice } from '../onnx/ops/shape.js';
import { stream } from '../tensor/random.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/** Drop path's decisions are drawn outside the graph, once an image, view and step, and fed as scales. */

/**
 * Declares an input [images, blocks] under each name and hands one [names * images, 1, 1, 1] scale to each block, of all
 * inputs one after the other.
 */
export function dropPathInput(
  graph: Graph,
  names: readonly string[],
  images: number,
  backbone: BackboneConfig,
): DropPath {
  const blocks = dropPathBlocks(backbone);
  const scales = concat(
    names.map((name) => graph.input(name, 'float32', [images, blocks])),
    0,
  );
  return dropPathFrom(
    Array.from({ length: blocks }, (_, block) =>
      reshape(slice(scales, [{ axis: 1, start: block, end: block + 1 }]), [names.length * images, 1, 1, 1]),
    ),
  );
}

/**
 * Scales of a whole batch [B, blocks], a function of (seed, step, view): 0 where a branch is dropped, 1 / keep
 * probability elsewhere.
 * @param rate drop probability of the last block.
 */
export function drawDropPath(
  backbone: BackboneConfig,
  rate: number,
  images: number,
  { seed, step, view }: { readonly seed: number; readonly step: number; readonly view: number },
): Tensor<'float32'> {
  const keep = keepProbabilities(dropPathBlocks(backbone), rate);
  const random = stream(seed, 'drop_path', step, view);
  const scales = new Float32Array(images * keep.length);
  for (let i = 0; i < scales.length; i++) {
    const probability = keep[i % keep.length]!;
    scales[i] = random.bernoulli(probability) ? 1 / probability : 0;
  }
  return tensor('float32', [images, keep.length], scales);
}
