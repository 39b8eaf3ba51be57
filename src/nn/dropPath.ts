import type { Value } from '../onnx/graph.js';
import { mul } from '../onnx/ops/elementwise.js';

/**
 * Stochastic depth (Huang et al., arXiv 1603.09382): multiplies each image's residual branch of block `index` (counted
 * over all stages) by 0 or 1 / keep probability, [B, 1, 1, 1].
 */
export type DropPath = (branch: Value, index: number) => Value;

/** Keep probabilities of every block: 1 - rate, the rate growing linearly from 0 to `dropPathRate`. */
export function keepProbabilities(blocks: number, dropPathRate: number): number[] {
  return Array.from({ length: blocks }, (_, i) => 1 - (blocks === 1 ? 0 : (dropPathRate * i) / (blocks - 1)));
}

/** Drop path from scales drawn outside the graph: one [B, 1, 1, 1] per block, each 0 or 1 / keep probability. */
export function dropPathFrom(scales: readonly Value[]): DropPath {
  return (branch, index) => mul(branch, scales[index]!);
}
