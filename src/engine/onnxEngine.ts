import { availableParallelism } from 'node:os';
import type { ModelFolder } from '../models/folder.js';
import { checkRunInput, checkRunOutputs, modelOutputs } from './checkRunInput.js';
import { type Device, type DeviceChoice, deviceName, readDevice } from './device.js';
import { type Engine, EngineError, type EngineOutputs } from './engine.js';
import { workerSetupOf } from './messages.js';
import { pairTensors, readNearest, smallPair } from './search.js';
import { createWorkerPool, type PoolWorker } from './workerPool.js';
import { type InferenceProcess, startWorkerProcess, WorkerEndedError } from './workerProcess.js';

export interface OnnxEngineOptions {
  /**
   * `auto`: CUDA if it works, else the CPU. `cuda`: fails if CUDA does not work. `cuda:0,1`: on these devices. An int8 model runs on the
   * CPU alone.
   */
  readonly device: Device;
  /** Worker processes, each with a copy of the model; on each device if several are named. Default: 1. */
  readonly workers?: number;
  /** Workers on each device where the model runs on CUDA, each with a copy of it on the device. Default: `workers`. */
  readonly cudaWorkers?: number;
  /** Threads that one operator may use in each worker. Default: the cores this process may run on, shared evenly. */
  readonly threads?: number;
  /** Longest time of one run or search in seconds; a worker that takes longer is killed and replaced. Absent: no limit. */
  readonly runSeconds?: number;
  /** Called with the reason why `auto` fell back to the CPU, with what workers print, and when they end. Default: stderr. */
  readonly log?: (message: string) => void;
}

function wholeNumber(name: string, value: number): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw new EngineError('invalid_input', `${name} is ${value}; it must be a whole number of at least 1`);
}

/**
 * The device for a model. int8 models run on the CPU alone: CUDA has no kernel for their 32-bit biases (DequantizeLinear of
 * int32).
 * @throws EngineError `unavailable` for an int8 model with `cuda`.
 */
function deviceFor({ manifest }: ModelFolder, device: Device): DeviceChoice {
  const choice = readDevice(device);
  if (manifest.compute !== 'int8' || choice.kind === 'cpu') return choice;
  if (choice.kind === 'auto') return { kind: 'cpu', ids: [] };
  throw new EngineError(
    'unavailable',
    `${manifest.name}@${manifest.version} computes in int8, which CUDA cannot run; serve a float variant of it, or use --device auto or cpu`,
  );
}

/**
 * Starts the first worker, whose provider all others use. With `auto`, it falls back to the CPU also where a driver or a library
 * ends the process that tries CUDA.
 */
async function startFirst(
  start: (device: DeviceChoice['kind']) => Promise<InferenceProcess>,
  device: DeviceChoice['kind'],
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
 * Starts ONNX Runtime with the graphs of a model, in worker processes that each do one run at a time.
 *
 * Workers are processes and not threads: a native crash in the runtime, or a kill for memory, would end the whole process of a
 * thread, and so does terminating a thread in the middle of a run. Passing an image to a process costs 0.2 ms more than to a
 * thread, with a map of 400 KB 0.5 ms (docs/benchmarks.md).
 *
 * When a worker dies, or exceeds `runSeconds` and is killed, its run fails with `unavailable` and the worker is replaced. When
 * the runtime of a worker is broken, its run fails with `internal`; the check after it fails too, and the worker is replaced.
 *
 * Every worker, replacements included, opens the files that `folder` lists and compares their checksums, so that what was
 * verified is what is served. While a file differs, lost workers cannot be replaced.
 * @throws EngineError `unavailable` if the graphs or the device cannot be used.
 */
export async function createOnnxEngine(folder: ModelFolder, options: OnnxEngineOptions): Promise<Engine> {
  const { manifest } = folder;
  const { kind, ids } = deviceFor(folder, options.device);
  const devices = Math.max(1, ids.length);
  /** The device of the worker at a place: they take turns. */
  const idOf = (place: number): number | undefined => ids[place % devices];
  const { log = (message: string) => process.stderr.write(`${message}\n`) } = options;
  const workers = wholeNumber('workers', options.workers ?? 1);
  const cudaWorkers = wholeNumber('cudaWorkers', options.cudaWorkers ?? workers);
  const threads = wholeNumber(
    'threads',
    options.threads ?? Math.max(1, Math.floor(availableParallelism() / (workers * devices))),
  );
  const startOn = (place: number, on: DeviceChoice['kind'], signal?: AbortSignal): Promise<InferenceProcess> => {
    const deviceId = idOf(place);
    const setup = workerSetupOf(folder, { device: on, threads, ...(deviceId !== undefined && { deviceId }) });
    return startWorkerProcess(setup, log, { signal }).catch((error: Error) => {
      if (deviceId !== undefined) error.message = `cuda:${deviceId}: ${error.message}`;
      throw error;
    });
  };
  const { worker: first, provider, cudaFailure } = await startFirst((on) => startOn(0, on), kind);
  if (cudaFailure !== undefined) log(`CUDA is not available, inference runs on the CPU: ${cudaFailure}`);

  // All workers, replacements included, use the provider of the first: with the device, the speed of the model would change.
  const start = (place: number, signal?: AbortSignal) => startOn(place, provider, signal);
  const size = provider === 'cuda' ? cudaWorkers * devices : workers;
  const others = await Promise.allSettled(Array.from({ length: size - 1 }, (_, i) => start(i + 1)));
  const started = [first, ...others.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))];
  const failure = others.find((each) => each.status === 'rejected');
  if (failure) {
    await Promise.all(started.map((worker) => worker.close()));
    throw failure.reason;
  }
  const { runSeconds } = options;
  const workMs = runSeconds === undefined ? undefined : runSeconds * 1000;
  const late = (): EngineError => {
    const message =
      `inference took longer than ${runSeconds} s (runSeconds), and its worker was killed; send smaller images, or try ` +
      'again later';
    return new EngineError('unavailable', message, { publicMessage: message });
  };
  const pool = createWorkerPool({ workers: started, start, workMs, late, log });

  const runBy =
    (work: PoolWorker['work']): Engine['run'] =>
    async (batch, wants) => {
      checkRunInput(manifest, batch, wants);
      const outputs = (await work({ kind: 'run', wants: [...wants] }, { images: batch })) as EngineOutputs;
      checkRunOutputs(manifest, batch, outputs);
      return outputs;
    };

  return {
    manifest,
    provider,
    outputs: modelOutputs(manifest),
    get status() {
      const { status } = pool;
      const workers = status.workers.map((each, place) => ({ ...each, device: deviceName(provider, idOf(place)) }));
      return { ...status, workers };
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
