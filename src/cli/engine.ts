import { type Command, Option } from 'commander';
import type { Engine } from '../engine/engine.js';
import { createOnnxEngine } from '../engine/onnxEngine.js';
import { openModelFolder } from '../models/folder.js';
import { wholeNumber } from './wholeNumber.js';

/** How a model is run. */
export interface EngineFlags {
  readonly device: 'auto' | 'cpu' | 'cuda';
  readonly threads?: number;
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
 * Opens a model folder and starts its engine.
 * @param log told why `auto` fell back to the CPU; default: a line on stderr
 */
export async function openEngine(
  dir: string,
  { device, threads }: EngineFlags,
  log?: (message: string) => void,
): Promise<Engine> {
  const folder = await openModelFolder(dir);
  return createOnnxEngine(folder, { device, ...(threads !== undefined && { threads }), ...(log && { log }) });
}
