import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { MatchError } from '../match/matchError.js';
import type { NearestNeighbours, VectorPair } from '../match/vectors.js';
import type { ModelFolder } from '../models/folder.js';
import { type Engine, EngineError, type EngineOutputs, type OutputName } from './engine.js';
import { checkRun, modelOutputs } from './runCheck.js';
import type { WorkerRequest, WorkerResponse, WorkerSetup } from './workerMessages.js';

export interface OnnxEngineOptions {
  /** `auto` takes CUDA where it loads and else the CPU; `cuda` fails where it does not load. */
  readonly device: 'auto' | 'cpu' | 'cuda';
  /** Threads that one operator may use. Default: the cores this process may run on. */
  readonly threads?: number;
  /** Told why `auto` fell back to the CPU. Default: a line on stderr. */
  readonly log?: (message: string) => void;
  /** Starts the worker thread; tests use it to get hold of the worker. */
  readonly startWorker?: (script: URL, setup: WorkerSetup) => Worker;
}

interface Pending {
  readonly resolve: (message: Answered) => void;
  readonly reject: (error: EngineError | MatchError) => void;
}

type Answered = WorkerResponse & { kind: 'done' | 'nearest' };

function setupOf(folder: ModelFolder, options: OnnxEngineOptions): WorkerSetup {
  const threads = options.threads ?? availableParallelism();
  if (!Number.isInteger(threads) || threads < 1) {
    throw new EngineError('invalid_input', `threads is ${threads}; it must be a whole number of at least 1`);
  }
  const localProjector = folder.graphPath('localProjector');
  const expander = folder.graphPath('expander');
  return {
    graphs: {
      backbone: folder.graphPath('backbone')!, // the manifest's schema requires it
      ...(localProjector !== undefined && { localProjector }),
      ...(expander !== undefined && { expander }),
    },
    device: options.device,
    threads,
  };
}

function outputsOf(response: WorkerResponse & { kind: 'done' }): EngineOutputs {
  const outputs: EngineOutputs = {};
  for (const [name, { shape, data }] of Object.entries(response.outputs)) {
    outputs[name as OutputName] = { dtype: 'float32', shape, data };
  }
  return outputs;
}

/** Waits for the worker's first word: the sessions stand, or they cannot. */
function whenReady(worker: Worker): Promise<WorkerResponse & { kind: 'ready' }> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      worker.off('message', onMessage).off('error', onError).off('exit', onExit);
      act();
    };
    const onMessage = (message: WorkerResponse): void => {
      if (message.kind === 'ready') settle(() => resolve(message));
      if (message.kind === 'failed') settle(() => reject(new EngineError('unavailable', message.message)));
    };
    const onError = (cause: unknown): void =>
      settle(() => reject(new EngineError('unavailable', `the inference worker failed to start: ${cause}`, { cause })));
    const onExit = (code: number): void =>
      settle(() =>
        reject(new EngineError('unavailable', `the inference worker ended at its start (exit code ${code})`)),
      );
    worker.on('message', onMessage).on('error', onError).on('exit', onExit);
  });
}

/**
 * Starts ONNX Runtime in a worker thread with the graphs of a model.
 *
 * Runs are done one after the other, in the order of the calls. A batch is copied on its way in, so the caller keeps
 * its buffer; outputs are moved, not copied. A worker that dies rejects what is pending, and every later run, with
 * `unavailable`, and resolves `failed`. Two deaths still take the whole process down: a native crash inside the runtime, and
 * `worker.terminate()` in the middle of a run (onnxruntime-node throws where nothing can catch it), so a run is never
 * cut short: `close` waits for it.
 * @throws EngineError `unavailable` where the graphs or the device cannot be used.
 */
export async function createOnnxEngine(folder: ModelFolder, options: OnnxEngineOptions): Promise<Engine> {
  const { manifest } = folder;
  // execArgv empty: flags of the parent such as --input-type do not suit a script.
  const start = options.startWorker ?? ((script, workerData) => new Worker(script, { workerData, execArgv: [] }));
  const worker = start(new URL('./onnxWorker.js', import.meta.url), setupOf(folder, options));
  const { provider, cudaFailure } = await whenReady(worker);
  if (cudaFailure !== undefined) {
    const log = options.log ?? ((message: string) => process.stderr.write(`${message}\n`));
    log(`CUDA is not available, inference runs on the CPU: ${cudaFailure}`);
  }

  const pending = new Map<number, Pending>();
  let nextId = 0;
  /** Why no further run is taken. */
  let refusal: string | undefined;
  let closing: Promise<void> | undefined;
  let reportDeath: (error: EngineError) => void;
  const failed = new Promise<EngineError>((resolve) => {
    reportDeath = resolve;
  });

  function fail(reason: string, cause?: unknown): void {
    refusal ??= reason;
    // After close() the end of the worker is what was asked for.
    if (closing === undefined) reportDeath(new EngineError('unavailable', reason, { cause }));
    for (const { reject } of pending.values()) reject(new EngineError('unavailable', reason, { cause }));
    pending.clear();
  }

  const ended = new Promise<void>((resolve) => {
    worker.on('exit', (code) => {
      fail(`the inference worker ended (exit code ${code})`);
      resolve();
    });
  });
  worker.on('error', (cause) => fail(`the inference worker failed: ${cause}`, cause));
  worker.on('message', (message: WorkerResponse) => {
    if (message.kind === 'ready' || message.kind === 'failed') return;
    const request = pending.get(message.id);
    pending.delete(message.id);
    if (message.kind !== 'error') request?.resolve(message);
    else if (message.match !== undefined) request?.reject(new MatchError(message.match, message.message));
    else request?.reject(new EngineError('internal', `inference failed: ${message.message}`));
  });

  /** Sends a request with an id of its own and waits for its answer; the buffers are moved. */
  function ask<K extends Answered['kind']>(
    request: (id: number) => WorkerRequest,
    buffers: ArrayBuffer[],
    signal?: AbortSignal,
  ): Promise<WorkerResponse & { kind: K }> {
    const id = nextId++;
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        pending.delete(id);
        worker.postMessage({ kind: 'cancel', id } satisfies WorkerRequest);
        reject(signal?.reason);
      };
      const settle =
        <T>(act: (value: T) => void) =>
        (value: T): void => {
          signal?.removeEventListener('abort', giveUp);
          act(value);
        };
      signal?.addEventListener('abort', giveUp, { once: true });
      pending.set(id, { resolve: settle(resolve as (message: Answered) => void), reject: settle(reject) });
      worker.postMessage(request(id), buffers);
    });
  }

  return {
    manifest,
    provider,
    outputs: modelOutputs(manifest),
    failed,
    async run(batch, wants) {
      if (refusal !== undefined) throw new EngineError('unavailable', refusal);
      checkRun(manifest, batch, wants);
      const data = new Uint8Array(batch.data); // not slice(): on a Buffer that is a view of the caller's memory
      const images = { shape: batch.shape, data };
      return outputsOf(await ask<'done'>((id) => ({ kind: 'run', id, images, wants: [...wants] }), [data.buffer]));
    },
    async nearest({ a, b, channels }: VectorPair, signal: AbortSignal): Promise<NearestNeighbours> {
      if (refusal !== undefined) throw new EngineError('unavailable', refusal);
      signal.throwIfAborted();
      const copies = { a: new Float32Array(a), b: new Float32Array(b), channels };
      const buffers = [copies.a.buffer, copies.b.buffer];
      return (await ask<'nearest'>((id) => ({ kind: 'nearest', id, ...copies }), buffers, signal)).nearest;
    },
    close() {
      refusal ??= 'the engine is closed';
      // The worker answers in order: everything accepted before this is done before it closes.
      closing ??= (async () => {
        worker.postMessage({ kind: 'close' } satisfies WorkerRequest);
        await ended;
      })();
      return closing;
    },
  };
}
