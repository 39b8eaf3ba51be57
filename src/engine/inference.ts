import { mapsEmbeddingShape } from '../models/modelOutputs.js';
import * as ort from '../onnx/runtime.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { type ByOutput, type EngineErrorCode, type EngineOutputs, isStageOutput, type OutputName } from './engine.js';
import type { Sessions } from './sessions.js';

/** Runs only the graphs, and fetches only the outputs, that the wanted outputs need. */
async function runGraphs(
  sessions: Sessions,
  images: Tensor,
  wants: ReadonlySet<OutputName>,
): Promise<ByOutput<ort.Tensor>> {
  const fetches: OutputName[] = [];
  if (wants.has('representation') || wants.has('embedding')) fetches.push('representation');
  if (wants.has('maps') || wants.has('maps_embedding')) fetches.push('maps');
  for (const name of wants) if (isStageOutput(name)) fetches.push(name);
  const feeds = { images: new ort.Tensor('uint8', images.data as Uint8Array, images.shape) };
  const outputs: ByOutput<ort.Tensor> = await sessions.backbone.run(feeds, fetches);
  for (const [name, head, input] of [
    ['maps_embedding', sessions.localProjector, 'maps'],
    ['embedding', sessions.expander, 'representation'],
  ] as const) {
    if (!wants.has(name)) continue;
    if (head === undefined) throw new Error(`the model has no graph that computes ${name}`);
    Object.assign(outputs, await head.run({ [input]: outputs[input]! }, [name]));
  }
  return outputs;
}

/** The wanted outputs of a batch, uint8 [B, H, W, 3]. */
export async function inferBatch(
  sessions: Sessions,
  images: Tensor,
  wants: readonly OutputName[],
): Promise<EngineOutputs> {
  const computed = await runGraphs(sessions, images, new Set(wants));
  const outputs: EngineOutputs = {};
  for (const name of wants) {
    const { data, dims: given } = computed[name]!;
    const dims = name === 'maps_embedding' ? mapsEmbeddingShape(given, computed.maps!.dims) : given;
    if (!(data instanceof Float32Array)) throw new Error(`output ${name} is not float32`);
    outputs[name] = tensor('float32', dims, data);
  }
  return outputs;
}

/** Messages of ONNX Runtime, CUDA, cuBLAS, cuDNN and C++ when memory runs out. */
const MEMORY_RAN_OUT = /out of memory|failed to allocate memory|ALLOC_FAILED|bad[_ ]alloc/i;

/** The code for the message of a failed run. Out of memory is a code of its own, since a smaller batch may fit. */
export function runFailureCode(message: string): EngineErrorCode {
  return MEMORY_RAN_OUT.test(message) ? 'out_of_memory' : 'internal';
}
