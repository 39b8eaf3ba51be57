import { rm } from 'node:fs/promises';
import { checkpointPath, listCheckpoints, loadCheckpoint, saveCheckpoint } from './checkpoint.js';
import { EMA_SLOT } from './ema.js';
import { stepNames } from './stepConfig.js';

/** Whether a tensor of a checkpoint is needed for export and evaluation: not the moments of the optimizer, which have a prefix. */
const isKept = (name: string): boolean => !name.includes('/') || name.startsWith(stepNames.state(EMA_SLOT, ''));

/**
 * The step of a run whose last checkpoint was reduced: its training is finished. Undefined for any other.
 * @throws CheckpointError for a damaged checkpoint.
 */
export async function slimStep(run: string): Promise<number | undefined> {
  if ((await listCheckpoints(run)).length === 0) return undefined;
  const { step, tensors } = await loadCheckpoint(run);
  return [...tensors.keys()].every(isKept) ? step : undefined;
}

/**
 * Reduces the checkpoints of a finished run to the weights and running statistics of the last one, about a third of its bytes.
 * The run can still be exported and evaluated, but not continued.
 * @throws CheckpointError for a run without a checkpoint, or a damaged one.
 */
export async function slimRun(run: string): Promise<void> {
  const checkpoint = await loadCheckpoint(run);
  const tensors = new Map([...checkpoint.tensors].filter(([name]) => isKept(name)));
  if (tensors.size < checkpoint.tensors.size) await saveCheckpoint(run, { ...checkpoint, tensors }, 1);
  const others = (await listCheckpoints(run)).filter((step) => step !== checkpoint.step);
  await Promise.all(others.map((step) => rm(checkpointPath(run, step))));
}
