import { encodeModel } from '../encode.js';
import { Graph } from '../graph.js';
import { add } from '../ops/elementwise.js';
import { InferenceSession, Tensor } from '../runtime.js';

/**
 * Where onnxruntime-node can keep tensors between the runs of a session. Training would keep weights and optimizer state on the GPU, and its
 * batches in pinned memory, if it could; tensorLocations.integration.test.ts tells when a new version can.
 */
export interface TensorLocation {
  readonly what: string;
  /** Where the output was, or why there is none. */
  readonly result: string;
}

/** What becomes of each location on a device. @throws if the provider cannot be loaded. */
export async function tensorLocations(device: 'cpu' | 'cuda'): Promise<TensorLocation[]> {
  const graph = new Graph();
  graph.output('y', add(graph.input('x', 'float32', [4]), 1));
  const model = encodeModel(graph);
  const open = (options: InferenceSession.SessionOptions = {}) =>
    InferenceSession.create(model, { executionProviders: [device], ...options });
  const values = Float32Array.of(1, 2, 3, 4);
  // The provider works at all: else every row would be its failure.
  const plain = await open();
  const attempt = async (what: string, run: () => Promise<{ readonly y?: { readonly location: string } }>) => {
    try {
      return { what, result: `in ${(await run()).y!.location} memory` };
    } catch (error) {
      return { what, result: `refused: ${(error as Error).message}` };
    }
  };
  const rows: TensorLocation[] = [];
  for (const location of ['cpu-pinned', 'gpu-buffer'] as const) {
    rows.push(
      await attempt(`output with preferredOutputLocation ${location}`, async () => {
        const session = await open({ preferredOutputLocation: location });
        try {
          return (await session.run({ x: new Tensor('float32', values, [4]) })) as { y: Tensor };
        } finally {
          await session.release();
        }
      }),
    );
  }
  const Pinned = Tensor as unknown as {
    fromPinnedBuffer(type: 'float32', data: Float32Array, dims: readonly number[]): Tensor;
  };
  rows.push(
    await attempt('input from Tensor.fromPinnedBuffer', async () => {
      return (await plain.run({ x: Pinned.fromPinnedBuffer('float32', values, [4]) })) as { y: Tensor };
    }),
  );
  await plain.release();
  return rows;
}
