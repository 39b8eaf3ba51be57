/**
 * The worker thread of the ONNX engine: owns the sessions and runs one request after the other.
 * `session.run` blocks the thread that calls it, which is why it is never the main one.
 */
import { parentPort, workerData } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import { type ByOutput, isStageOutput, type OutputName } from './engine.js';
import { openSessions, type Sessions } from './sessions.js';
import type { WireTensor, WorkerRequest, WorkerResponse, WorkerSetup } from './workerMessages.js';

if (parentPort === null) throw new Error('onnxWorker runs as a worker thread; use createOnnxEngine');
const port = parentPort;

/** Runs only the graphs and fetches only the outputs that the wanted ones need. */
async function run(
  sessions: Sessions,
  images: WireTensor<Uint8Array>,
  wants: ReadonlySet<OutputName>,
): Promise<ByOutput<ort.Tensor>> {
  const fetches: OutputName[] = [];
  if (wants.has('representation') || wants.has('embedding')) fetches.push('representation');
  if (wants.has('maps') || wants.has('maps_embedding')) fetches.push('maps');
  for (const name of wants) if (isStageOutput(name)) fetches.push(name);
  const feeds = { images: new ort.Tensor('uint8', images.data, images.shape) };
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

async function answer(
  sessions: Sessions,
  request: WorkerRequest & { kind: 'run' },
): Promise<[WorkerResponse, ArrayBuffer[]]> {
  const { id } = request;
  try {
    const computed = await run(sessions, request.images, new Set(request.wants));
    const outputs: ByOutput<WireTensor<Float32Array>> = {};
    const buffers: ArrayBuffer[] = [];
    for (const name of request.wants) {
      const { data, dims } = computed[name]!;
      if (!(data instanceof Float32Array)) throw new Error(`output ${name} is not float32`);
      outputs[name] = { shape: dims, data };
      buffers.push(data.buffer as ArrayBuffer);
    }
    return [{ kind: 'done', id, outputs }, buffers];
  } catch (error) {
    return [{ kind: 'error', id, message: error instanceof Error ? error.message : String(error) }, []];
  }
}

async function serve(setup: WorkerSetup): Promise<void> {
  const opened = await openSessions(setup);
  const { sessions } = opened;
  // One at a time, in order: interleaved runs would hold two batches' maps in memory and finish no sooner.
  let last: Promise<void> = Promise.resolve();
  port.on('message', (request: WorkerRequest) => {
    last = last.then(async () => {
      if (request.kind === 'close') {
        for (const session of Object.values(sessions)) await session.release();
        port.close();
        return;
      }
      const [response, buffers] = await answer(sessions, request);
      port.postMessage(response, buffers);
    });
  });
  const { provider, cudaFailure } = opened;
  port.postMessage({
    kind: 'ready',
    provider,
    ...(cudaFailure !== undefined && { cudaFailure }),
  } satisfies WorkerResponse);
}

serve(workerData as WorkerSetup).catch((error: unknown) => {
  const message = error instanceof Error ? error.message : String(error);
  port.postMessage({ kind: 'failed', message } satisfies WorkerResponse);
  port.close();
});
