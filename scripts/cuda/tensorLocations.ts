/**
 * Shows where onnxruntime-node can keep the tensors of a session: what becomes of outputs for which a place on the device, or pinned memory, is
 * asked, and whether an input in pinned memory is accepted. Training would keep weights and optimizer state on the GPU, and its batches in pinned
 * memory, if it could; test/scripts/tensorLocations.test.ts tells when a new version can. Prints one line of JSON for each.
 *
 *   node dist/scripts/cuda/tensorLocations.js --device cuda
 */
import { parseArgs } from 'node:util';
import { encodeModel } from '../../src/onnx/encode.js';
import { Graph } from '../../src/onnx/graph.js';
import { add } from '../../src/onnx/ops/elementwise.js';
import { InferenceSession, Tensor } from '../../src/onnx/runtime.js';

const { values } = parseArgs({ options: { device: { type: 'string', default: 'cuda' } } });
const { device } = values;
if (device !== 'cpu' && device !== 'cuda') throw new Error(`--device is ${device}; it is cpu or cuda`);

const graph = new Graph();
graph.output('y', add(graph.input('x', 'float32', [4]), 1));
const model = encodeModel(graph);
const x = Float32Array.of(1, 2, 3, 4);
const ordinary = new Tensor('float32', x, [4]);
// Not among the types of onnxruntime-node, which has it all the same.
const { fromPinnedBuffer } = Tensor as unknown as {
  fromPinnedBuffer(type: 'float32', data: Float32Array, dims: readonly number[]): Tensor;
};

/** Where the output of a run is. */
async function run(input: Tensor, options: InferenceSession.SessionOptions): Promise<string> {
  const session = await InferenceSession.create(model, { executionProviders: [device!], ...options });
  try {
    const { y } = (await session.run({ x: input })) as { y: Tensor };
    return `in ${y.location} memory`;
  } finally {
    await session.release();
  }
}

async function show(what: string, attempt: () => Promise<string>): Promise<void> {
  const result = await attempt().catch((error: Error) => `refused: ${error.message}`);
  console.log(JSON.stringify({ what, result }));
}

// The provider works at all: else every line would be its failure.
await run(ordinary, {});
for (const location of ['cpu-pinned', 'gpu-buffer'] as const) {
  await show(`output with preferredOutputLocation ${location}`, () =>
    run(ordinary, { preferredOutputLocation: location }),
  );
}
await show('input from Tensor.fromPinnedBuffer', async () => run(fromPinnedBuffer('float32', x, [4]), {}));
