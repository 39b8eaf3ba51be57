import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensors, writeSafetensors } from '../tensor/safetensors.js';
import type { Tensor } from '../tensor/tensor.js';

/**
 * Checkpoints of a run: `checkpoints/step-00000200.safetensors`, holding weights and optimizer state under the names of
 * the step graph's inputs. All randomness is a function of (seed, step), so these two numbers are the random state and
 * the position in the data.
 */
export interface Checkpoint {
  /** Optimizer steps taken. */
  readonly step: number;
  readonly seed: number;
  /** Fingerprint of the source of photographs (src/data/sourceFingerprint.ts). */
  readonly data: string;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

const FILE = /^step-(\d{8})\.safetensors$/;

/** A run folder whose checkpoint cannot be used. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError';
}

function folder(run: string): string {
  return join(run, 'checkpoints');
}

/** Where a run's checkpoint of a step stands. */
export function checkpointPath(run: string, step: number): string {
  return join(folder(run), fileName(step));
}

function fileName(step: number): string {
  return `step-${String(step).padStart(8, '0')}.safetensors`;
}

/** Steps that have a checkpoint, ascending; empty for a run without any. */
export async function listCheckpoints(run: string): Promise<number[]> {
  const names = await readdir(folder(run)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names
    .flatMap((name) => FILE.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** Writes a checkpoint atomically, then removes all but the newest `keep`. Returns its path. */
export async function saveCheckpoint(
  run: string,
  { step, seed, data, tensors }: Checkpoint,
  keep: number,
): Promise<string> {
  await mkdir(folder(run), { recursive: true });
  const path = checkpointPath(run, step);
  await writeSafetensors(path, tensors, { step: String(step), seed: String(seed), data });
  const stale = (await listCheckpoints(run)).slice(0, -keep);
  await Promise.all(stale.map((old) => rm(checkpointPath(run, old))));
  return path;
}

/** Renames a checkpoint that training cannot go on from to `....safetensors.diverged`, so that none resumes from it. */
export async function setCheckpointAside(run: string, step: number): Promise<void> {
  const path = checkpointPath(run, step);
  await rename(path, `${path}.diverged`);
}

/**
 * Reads a run's newest checkpoint.
 * @throws CheckpointError when there is none, or it does not say its step and seed; SafetensorsError when truncated.
 */
export async function loadLatestCheckpoint(run: string): Promise<Checkpoint> {
  const latest = (await listCheckpoints(run)).at(-1);
  if (latest === undefined)
    throw new CheckpointError(`${run} has no checkpoint under checkpoints/; nothing to resume or export`);
  const path = checkpointPath(run, latest);
  const { metadata, tensors } = await readSafetensors(path);
  const [step, seed] = [Number(metadata['step']), Number(metadata['seed'])];
  if (step !== latest || !Number.isSafeInteger(seed)) {
    throw new CheckpointError(
      `${path}: its metadata names step ${metadata['step']} and seed ${metadata['seed']}, not step ${latest}`,
    );
  }
  return { step, seed, data: metadata['data'] ?? 'unknown', tensors };
}
