import { availableParallelism } from 'node:os';
import { type Command, Option } from 'commander';
import type { Engine } from '../engine/engine.js';
import { createOnnxEngine } from '../engine/onnxEngine.js';
import { type ModelFolder, openModelFolder } from '../models/folder.js';
import { wholeNumber } from './wholeNumber.js';

/** How a model is run. */
export interface EngineFlags {
  readonly device: 'auto' | 'cpu' | 'cuda';
  /** Worker processes; a command alone has work for one only. */
  readonly workers?: number;
  readonly threads?: number;
  /** Longest time of one run in seconds; a command alone may take its time. */
  readonly runSeconds?: number;
}

/** Adds --device and --threads. */
export function addEngineFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--device <device>', 'what runs the model; cuda fails rather than fall back')
        .choices(['auto', 'cpu', 'cuda'])
        .default('auto'),
    )
    .option('--threads <count>', 'threads of the engine (default: the machine decides)', wholeNumber(1, 1024));
}

/**
 * Starts the engine of a model folder.
 * @param log told why `auto` fell back to the CPU, and of workers; default: lines on stderr
 */
function startEngine(
  folder: ModelFolder,
  { device, workers, threads, runSeconds }: EngineFlags,
  log?: (message: string) => void,
): Promise<Engine> {
  return createOnnxEngine(folder, {
    device,
    ...(workers !== undefined && { workers }),
    ...(threads !== undefined && { threads }),
    ...(runSeconds !== undefined && { runSeconds }),
    ...(log && { log }),
  });
}

/** Beyond so many workers more threads for each serve as well, and take no further copies of the model. */
const MOST_WORKERS = 4;
/** What a worker may take beside twice its model's files: an estimate for a batch of 32 at 224 px, on the large side. */
const WORKER_BYTES = 2 ** 30;

/**
 * Worker processes for many batches on the CPU.
 * @param modelBytes of the model's files
 * @param freeBytes memory of which half may be taken
 */
export function batchWorkers(threads: number, modelBytes: number, freeBytes: number): number {
  const room = Math.floor(freeBytes / 2 / (2 * modelBytes + WORKER_BYTES));
  // Fewer workers of more threads where those would leave threads without work: six threads are three workers of two.
  const each = Math.ceil(threads / Math.max(1, Math.min(MOST_WORKERS, room)));
  return Math.floor(threads / each);
}

/**
 * Starts the engine of a model folder for many batches, of which several run at once: on the CPU workers of few threads, which
 * compute more images a second than one worker with all threads, as memory allows; on CUDA one worker.
 */
export async function startBatchEngine(
  folder: ModelFolder,
  { device, threads = availableParallelism() }: EngineFlags,
  log: (message: string) => void,
): Promise<Engine> {
  const bytes = Object.values(folder.manifest.files).reduce((sum, file) => sum + file.bytes, 0);
  const workers = batchWorkers(threads, bytes, process.availableMemory());
  return createOnnxEngine(folder, { device, workers, cudaWorkers: 1, threads: Math.floor(threads / workers), log });
}

/** A log for several engines one after the other: what it has said it does not say again. @param say where it goes */
export function sayOnce(say: (message: string) => void): (message: string) => void {
  const said = new Set<string>();
  return (message) => {
    if (said.has(message)) return;
    said.add(message);
    say(message);
  };
}

/** Opens a model folder and starts its engine. */
export async function openEngine(dir: string, flags: EngineFlags, log?: (message: string) => void): Promise<Engine> {
  return startEngine(await openModelFolder(dir), flags, log);
}
