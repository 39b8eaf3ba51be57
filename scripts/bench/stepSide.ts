import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { writeSafetensors } from '../../src/tensor/safetensors.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { type StepConfig, stepNames } from '../../src/train/stepConfig.js';
import { buildStep } from '../../src/train/stepGraph.js';
import { describeStep, initialState, stepBatch } from './stepCase.js';

/** The processes of a comparison of training steps: stepProcess.ts, pytorchStep.py. */

export interface StepAnswer {
  readonly seconds: number;
  readonly loss: number;
  readonly peak_memory_mb: number;
}

/** One side: a process that runs one step, or one run of several, for each line on its stdin. */
export interface Side {
  readonly ready: Readonly<Record<string, unknown>>;
  step(): Promise<StepAnswer>;
  close(): void;
}

export async function openSide(command: string, args: readonly string[]): Promise<Side> {
  const child: ChildProcess = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'close') as Promise<[code: number | null, signal: string | null]>;
  // A write to a process that has died fails with EPIPE. Ignore it: its exit is reported below, with the reason.
  child.stdin!.on('error', () => {});
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (!done) return JSON.parse(value) as Record<string, unknown>;
    const [code, signal] = await ended;
    const reason =
      signal === 'SIGKILL' ? 'SIGKILL, which the kernel sends when memory is short' : (signal ?? `code ${code}`);
    throw new Error(`${command} ${args[0]} exited (${reason}) before it answered`);
  };
  return {
    ready: await answer(),
    step: async () => {
      child.stdin!.write('\n');
      return (await answer()) as unknown as StepAnswer;
    },
    close: () => child.stdin!.end(),
  };
}

/** Writes the first state and a batch, from which every side starts. @returns the bytes of the state */
export async function writeStepInputs(path: string, config: StepConfig): Promise<number> {
  const state = initialState(buildStep(config), config);
  const tensors = new Map<string, Tensor>(state);
  const { views, locations } = stepBatch(config);
  views.forEach((view, v) => {
    tensors.set(stepNames.view(v), view);
  });
  locations.forEach((grid, v) => {
    tensors.set(stepNames.locations(v), grid);
  });
  await writeSafetensors(path, tensors, { case: JSON.stringify(describeStep(config)) });
  return [...state.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
}
