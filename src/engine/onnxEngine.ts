import { availableParallelism } from 'node:os';
import type { ModelFolder } from '../models/folder.js';
import { type Engine, EngineError, type EngineOutputs } from './engine.js';
import { checkRun, modelOutputs } from './runCheck.js';
import { pairTensors, readNearest, smallPair } from './search.js';
import { createWorkerPool, type PoolWorker } from './workerPool.js';
import { startWorkerProcess } from './workerProcess.js';
import { workerSetup } from './workerSetup.js';

export interface OnnxEngineOptions {
  /** `auto` takes CUDA where it loads and else the CPU; `cuda` fails where it does not load. */
  readonly device: 'auto' | 'cpu' | 'cuda';
  /** Worker processes, each with the whole model. Default: 1. */
  readonly workers?: number;
  /** Threads that one operator may use in each worker. Default: the cores this process may run on, shared evenly. */
  readonly threads?: number;
  /** Longest time of one run or search in seconds; a worker that takes longer hangs and is replaced. Absent: for ever. */
  readonly runSeconds?: number;
  /** Told why `auto` fell back to the CPU, what workers print, and of their deaths. Default: lines on stderr. */
  readonly log?: (message: string) => void;
}

function wholeNumber(name: string, value: number): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw new EngineError('invalid_input', `${name} is ${value}; it must be a whole number of at least 1`);
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
  const { device, log = (message: string) => process.stderr.write(`${message}\n`) } = options;
  const size = wholeNumber('workers', options.workers ?? 1);
  const threads = wholeNumber('threads', options.threads ?? Math.max(1, Math.floor(availableParallelism() / size)));
  const first = await startWorkerProcess(workerSetup(folder, device, threads), log);
  const { provider, cudaFailure } = first;
  if (cudaFailure !== undefined) log(`CUDA is not available, inference runs on the CPU: ${cudaFailure}`);

  // All on the provider of the first, also those that come later: a model that changes its device changes its speed.
  const start = () => startWorkerProcess(workerSetup(folder, provider, threads), log);
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
