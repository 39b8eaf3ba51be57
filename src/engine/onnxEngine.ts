import { availableParallelism } from 'node:os';
import type { ModelFolder } from '../models/folder.js';
import { type Engine, EngineError, type EngineOutputs } from './engine.js';
import { checkRun, modelOutputs } from './runCheck.js';
import { pairTensors, readNearest, smallPair } from './search.js';
import { createWorkerPool, type PoolWorker } from './workerPool.js';
import { type InferenceProcess, startWorkerProcess, WorkerEndedError } from './workerProcess.js';
import { workerSetup } from './workerSetup.js';

export interface OnnxEngineOptions {
  /** `auto` takes CUDA where it computes and else the CPU; `cuda` fails where it does not. An int8 model is for the CPU. */
  readonly device: 'auto' | 'cpu' | 'cuda';
  /** Worker processes, each with the whole model. Default: 1. */
  readonly workers?: number;
  /** Workers where the model runs on CUDA, each with a copy of it on the device. Default: `workers`. */
  readonly cudaWorkers?: number;
  /** Threads that one operator may use in each worker. Default: the cores this process may run on, shared evenly. */
  readonly threads?: number;
  /** Longest time of one run or search in seconds; a worker that takes longer hangs and is replaced. Absent: for ever. */
  readonly runSeconds?: number;
  /** Receives messages: why `auto` fell back to the CPU, output of workers, and their deaths. Default: lines on stderr. */
  readonly log?: (message: string) => void;
}

function wholeNumber(name: string, value: number): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw new EngineError('invalid_input', `${name} is ${value}; it must be a whole number of at least 1`);
}

/**
 * The device for a model: int8 is for the CPU, since CUDA has no kernel for 32-bit biases (DequantizeLinear of int32).
 * @throws EngineError `unavailable` where such a model is to run on CUDA.
 */
function deviceFor({ manifest }: ModelFolder, device: OnnxEngineOptions['device']): OnnxEngineOptions['device'] {
  if (manifest.compute !== 'int8' || device === 'cpu') return device;
  if (device === 'auto') return 'cpu';
  throw new EngineError(
    'unavailable',
    `${manifest.name}@${manifest.version} computes in int8, which CUDA cannot run; serve a float variant of it, or use --device auto or cpu`,
  );
}

/**
 * Starts the first worker, which decides for all: under `auto`, a driver or a library that ends the process that tries CUDA
 * is a reason for the CPU too.
 */
async function startFirst(
  start: (device: OnnxEngineOptions['device']) => Promise<InferenceProcess>,
  device: OnnxEngineOptions['device'],
): Promise<Pick<InferenceProcess, 'provider' | 'cudaFailure'> & { readonly worker: InferenceProcess }> {
  try {
    const worker = await start(device);
    const { provider, cudaFailure } = worker;
    return { worker, provider, ...(cudaFailure !== undefined && { cudaFailure }) };
  } catch (error) {
    if (device !== 'auto' || !(error instanceof WorkerEndedError)) throw error;
    return {
      worker: await start('cpu'),
      provider: 'cpu',
      cudaFailure: `the process that tried it ended: ${error.message}`,
    };
  }
}

/**
 * Starts ONNX Runtime with the graphs of a model, in worker processes of which each does one run at a time.
 *
 * Processes rather than threads: a native crash in the runtime, or a kill for memory, would end a thread's whole process,
 * and terminating a thread in the middle of a run aborts it. Handing an image over costs 0.2 ms more than to a thread, and
 * 0.5 ms with a map of 400 KB (docs/benchmarks.md). A worker that dies, or
 * hangs for `runSeconds` and is killed, fails its run with `unavailable` and is replaced. One whose runtime is broken fails its
 * run with `internal`, then the check that follows, and is replaced too.
 *
 * Every worker, also one that takes the place of another, opens the files that `folder` lists by their checksums: what was
 * verified is what is served. Where a file has changed, it cannot be replaced until the file is as it was.
 * @throws EngineError `unavailable` where the graphs or the device cannot be used.
 */
export async function createOnnxEngine(folder: ModelFolder, options: OnnxEngineOptions): Promise<Engine> {
  const { manifest } = folder;
  const device = deviceFor(folder, options.device);
  const { log = (message: string) => process.stderr.write(`${message}\n`) } = options;
  const workers = wholeNumber('workers', options.workers ?? 1);
  const cudaWorkers = wholeNumber('cudaWorkers', options.cudaWorkers ?? workers);
  const threads = wholeNumber('threads', options.threads ?? Math.max(1, Math.floor(availableParallelism() / workers)));
  const startOn = (on: OnnxEngineOptions['device']) => startWorkerProcess(workerSetup(folder, on, threads), log);
  const { worker: first, provider, cudaFailure } = await startFirst(startOn, device);
  if (cudaFailure !== undefined) log(`CUDA is not available, inference runs on the CPU: ${cudaFailure}`);

  // All on the provider of the first, also those that come later: a model that changes its device changes its speed.
  const start = () => startOn(provider);
  const size = provider === 'cuda' ? cudaWorkers : workers;
  const others = await Promise.allSettled(Array.from({ length: size - 1 }, start));
  const started = [first, ...others.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))];
  const failure = others.find((each) => each.status === 'rejected');
  if (failure) {
    await Promise.all(started.map((worker) => worker.close()));
    throw failure.reason;
  }
  const { runSeconds } = options;
  const workMs = runSeconds === undefined ? undefined : runSeconds * 1000;
  const pool = createWorkerPool({ workers: started, start, workMs, log });

  const runBy =
    (work: PoolWorker['work']): Engine['run'] =>
    async (batch, wants) => {
      checkRun(manifest, batch, wants);
      return (await work({ kind: 'run', wants: [...wants] }, { images: batch })) as EngineOutputs;
    };

  return {
    manifest,
    provider,
    outputs: modelOutputs(manifest),
    get status() {
      return pool.status;
    },
    get idle() {
      return pool.idle;
    },
    watch: pool.watch,
    warm: (up, check = up) =>
      pool.warm(
        (work) => up(runBy(work)),
        async (work, failed) => {
          if (failed.kind === 'nearest') await work(failed, pairTensors(smallPair));
          await check(runBy(work));
        },
      ),
    run: runBy(pool.work),
    async nearest(pair, signal) {
      return readNearest(await pool.work({ kind: 'nearest' }, pairTensors(pair), signal));
    },
    close: pool.close,
    terminate: pool.terminate,
  };
}
