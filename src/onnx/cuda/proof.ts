import { type Tensor, tensor } from '../../tensor/tensor.js';
import { encodeModel } from '../encode.js';
import { Graph } from '../graph.js';
import { conv } from '../ops/convolution.js';

/**
 * A small convolution, which needs cuDNN on CUDA. The provider loads cuDNN with the first operator that needs it: without
 * it a session is created, and its first run fails.
 */
export interface Proof {
  readonly model: Uint8Array;
  readonly feeds: Readonly<Record<string, Tensor>>;
  /** @throws Error if the device computed something else. */
  check(outputs: ReadonlyMap<string, Tensor>): void;
}

const ones = (shape: readonly number[], count: number): Tensor =>
  tensor('float32', shape, new Float32Array(count).fill(1));

export function cudaProof(): Proof {
  const graph = new Graph();
  const x = graph.input('x', 'float32', [1, 1, 4, 4]);
  graph.output('y', conv(x, graph.constant(ones([1, 1, 3, 3], 9)), undefined));
  return {
    model: encodeModel(graph, { name: 'proof' }),
    feeds: { x: ones([1, 1, 4, 4], 16) },
    check(outputs) {
      const found = Array.from(outputs.get('y')!.data, Number);
      // Small integers are exact in every precision that a GPU may multiply in.
      if (found.length !== 4 || found.some((value) => value !== 9)) {
        throw new Error(`a convolution of ones gave ${found.join(', ')} in place of 9`);
      }
    },
  };
}
