/**
 * The worker thread of the ONNX engine: owns the sessions and runs one request after the other.
 * `session.run` blocks the thread that calls it, which is why it is never the main one.
 */
import { parentPort, workerData } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import { openNearestSession, searchNearest } from '../match/dense/search.js';
import { MatchError } from '../match/matchError.js';
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

/** Searches with a session that is opened when it is first needed. */
function createSearch(threads: number) {
  let opening: Promise<ort.InferenceSession> | undefined;
  return {
    async answer(request: WorkerRequest & { kind: 'nearest' }, signal: AbortSignal): Promise<Answer> {
      opening ??= openNearestSession(threads);
      const nearest = await searchNearest(await opening, request, signal);
      const { fromA, fromB, ...norms } = nearest;
      const buffers = [fromA, fromB, norms].flatMap((found) => Object.values(found).map(({ buffer }) => buffer));
      return [{ kind: 'nearest', id: request.id, nearest }, buffers as ArrayBuffer[]];
    },
    close: async () => (await opening)?.release(),
  };
}

/** A response and what is moved with it. */
type Answer = readonly [WorkerResponse, ArrayBuffer[]];

async function answerRun(sessions: Sessions, request: WorkerRequest & { kind: 'run' }): Promise<Answer> {
  const { id } = request;
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
}

function errorResponse(id: number, error: unknown): WorkerResponse {
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'error', id, message, ...(error instanceof MatchError && { match: error.code }) };
}

async function serve(setup: WorkerSetup): Promise<void> {
  const opened = await openSessions(setup);
  const { sessions } = opened;
  // One at a time, in order: interleaved runs would hold two batches' maps in memory and finish no sooner.
  let last: Promise<void> = Promise.resolve();
  const search = createSearch(setup.threads);
  /** Ends requests that wait or run, by their id. */
  const cancels = new Map<number, AbortController>();
  port.on('message', (request: WorkerRequest) => {
    if (request.kind === 'cancel') return cancels.get(request.id)?.abort(new Error('cancelled'));
    if (request.kind === 'close') {
      last = last.then(async () => {
        for (const session of Object.values(sessions)) await session.release();
        await search.close();
        port.close();
      });
      return;
    }
    const { id } = request;
    const cancel = new AbortController();
    cancels.set(id, cancel);
    last = last.then(async () => {
      try {
        cancel.signal.throwIfAborted();
        const answer = request.kind === 'run' ? answerRun(sessions, request) : search.answer(request, cancel.signal);
        port.postMessage(...(await answer));
      } catch (error) {
        port.postMessage(errorResponse(id, error));
      } finally {
        cancels.delete(id);
      }
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
