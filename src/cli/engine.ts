import { availableParallelism } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Device, deviceProblem } from '../engine/device.js';
import type { Engine } from '../engine/engine.js';
import { createOnnxEngine } from '../engine/onnxEngine.js';
import type { ModelFolder } from '../models/folder.js';
import { openModel } from './modelFolders.js';
import { wholeNumber } from './wholeNumber.js';

/** How to run a model. */
export interface EngineFlags {
  readonly device: Device;
  /** Worker processes. A single command needs only one. */
  readonly workers?: number;
  readonly threads?: number;
  /** Maximum time of one run in seconds. Default: unlimited, for single commands. */
  readonly runSeconds?: number;
}

function deviceArgument(text: string): Device {
  const problem = deviceProblem(text);
  if (problem === undefined) return text as Device;
  throw new InvalidArgumentError(`It ${problem}.`);
}

/** Adds --device and --threads. */
export function addEngineFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--device <device>',
        'auto, cpu, cuda or cuda:0,1 (numbers of devices); auto uses CUDA if it works, else the CPU; cuda fails if it does not',
      )
        .argParser(deviceArgument)
        .default('auto'),
    )
    .option('--threads <count>', 'threads of the engine (default: all cores)', wholeNumber(1, 1024));
}

/**
 * Starts the engine of a model folder.
 * @param log receives messages about workers, and why `auto` fell back to the CPU; default: lines on stderr
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

/** Above this number, more threads per worker are as fast, and need no further copies of the model. */
const MAX_WORKERS = 4;
/** Memory of a worker in addition to twice its model's files: a generous estimate for a batch of 32 at 224 px. */
const WORKER_BYTES = 2 ** 30;

/**
 * Worker processes for many batches on the CPU.
 * @param modelBytes of the model's files
 * @param freeBytes available memory, of which at most half is used
 */
export function batchWorkers(threads: number, modelBytes: number, freeBytes: number): number {
  const fitting = Math.floor(freeBytes / 2 / (2 * modelBytes + WORKER_BYTES));
  // Use fewer workers with more threads if threads would otherwise be left over: six threads give three workers with two each.
  const each = Math.ceil(threads / Math.max(1, Math.min(MAX_WORKERS, fitting)));
  return Math.floor(threads / each);
}

/**
 * Starts the engine of a model folder for many concurrent batches. On the CPU, as far as memory allows, several workers with few
 * threads, which compute more images per second than one worker with all threads; on CUDA, one worker.
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

/** A log function that drops repeated messages, for several engines in sequence. @param say receives each message once */
export function sayOnce(say: (message: string) => void): (message: string) => void {
  const said = new Set<string>();
  return (message) => {
    if (said.has(message)) return;
    said.add(message);
    say(message);
  };
}

/** Opens a model, by path or by name, and starts its engine. */
export async function openEngine(model: string, flags: EngineFlags, log?: (message: string) => void): Promise<Engine> {
  return startEngine(await openModel(model), flags, log);
}
