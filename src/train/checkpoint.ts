import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomically } from '../files/atomicFile.js';
import { freePath } from '../files/freePath.js';
import { makeFolder, writeOutput } from '../files/output.js';
import { firstNonFinite } from '../tensor/finite.js';
import { readSafetensors, SafetensorsError, writeSafetensors } from '../tensor/safetensors.js';
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
  /** The run's whole configuration when it was saved, as JSON has it; absent in checkpoints of older versions. */
  readonly config?: unknown;
  /** Processes that shared the batches of the last step; absent in checkpoints of older versions. */
  readonly ranks?: number;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** A value by which a checkpoint is better or worse than others. */
export interface Score {
  /** Name in the log. */
  readonly metric: string;
  readonly mode: 'min' | 'max';
  readonly value: number;
}

/** The content of `checkpoints/index.json`: the newest and the best checkpoint. */
export interface CheckpointIndex {
  readonly latest?: number;
  readonly best?: Score & { readonly step: number };
}

/** A checkpoint of a run: the newest, the best, or that of a step. */
export type CheckpointChoice = 'latest' | 'best' | number;

const FILE = /^step-(\d{8})\.safetensors$/;

/** A run folder whose checkpoint cannot be used. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError';
}

function folder(run: string): string {
  return join(run, 'checkpoints');
}

/** Path of a run's checkpoint of a step. */
export function checkpointPath(run: string, step: number): string {
  return join(folder(run), fileName(step));
}

function fileName(step: number): string {
  return `step-${String(step).padStart(8, '0')}.safetensors`;
}

/** Steps that have a checkpoint, ascending; empty for a run without any. */
export async function listCheckpoints(run: string): Promise<number[]> {
  const names = await readdir(folder(run)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    throw error;
  });
  return names
    .flatMap((name) => FILE.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

const indexPath = (run: string) => join(folder(run), 'index.json');

/**
 * The newest and the best checkpoint. The files decide: an index that a crash left behind may name one that is gone, or
 * miss the newest.
 */
export async function readCheckpointIndex(run: string): Promise<CheckpointIndex> {
  const steps = await listCheckpoints(run);
  const latest = steps.at(-1);
  let written: CheckpointIndex = {};
  try {
    written = JSON.parse(await readFile(indexPath(run), 'utf8')) as CheckpointIndex;
  } catch {
    // Missing or damaged: it is written again with the next checkpoint.
  }
  const best = written.best !== undefined && steps.includes(written.best.step) ? written.best : undefined;
  return { ...(latest !== undefined && { latest }), ...(best && { best }) };
}

async function writeIndex(run: string, index: CheckpointIndex): Promise<void> {
  await writeFileAtomically(indexPath(run), `${JSON.stringify(index, null, 2)}\n`);
}

function isBetter(candidate: Score, best: Score | undefined): boolean {
  if (best?.metric !== candidate.metric || best.mode !== candidate.mode) return true;
  return candidate.mode === 'min' ? candidate.value < best.value : candidate.value > best.value;
}

/**
 * Writes a checkpoint atomically, then the index, then removes all but the newest `keep` and the best. Returns its path.
 * @param score of this checkpoint; without one it does not compete for the best.
 * @throws CheckpointError when it cannot be written; the ones before it are then as they were.
 */
export async function saveCheckpoint(
  run: string,
  { step, seed, data, config, ranks, tensors }: Checkpoint,
  keep: number,
  score?: Score,
): Promise<string> {
  const path = checkpointPath(run, step);
  try {
    await makeFolder(folder(run));
    const metadata = { step: String(step), seed: String(seed), data };
    await writeSafetensors(path, tensors, {
      ...metadata,
      ...(config !== undefined && { config: JSON.stringify(config) }),
      ...(ranks !== undefined && { ranks: String(ranks) }),
    });
    const { best } = await readCheckpointIndex(run);
    const current = best !== undefined && best.step < step ? best : undefined;
    const winner = score !== undefined && isBetter(score, current) ? { step, ...score } : current;
    await writeIndex(run, { latest: step, ...(winner && { best: winner }) });
    const stale = (await listCheckpoints(run)).slice(0, -keep).filter((old) => old !== winner?.step);
    await Promise.all(stale.map((old) => rm(checkpointPath(run, old))));
  } catch (cause) {
    const before = (await listCheckpoints(run).catch(() => [])).filter((old) => old !== step).at(-1);
    const last = before === undefined ? 'there is none from before' : `that of step ${before} is whole`;
    throw new CheckpointError(
      `the checkpoint of step ${step} cannot be written: ${(cause as Error).message}; ${last}. ` +
        'Make room (or lower checkpoints.keep) and go on with --resume',
      { cause },
    );
  }
  return path;
}

/**
 * Renames checkpoints to `....safetensors.<why>`, so that no run resumes from them, and updates the index. Those that were set aside
 * before keep their names: a run may go back to the same step several times.
 */
async function setAside(run: string, steps: readonly number[], why: string): Promise<void> {
  for (const step of steps) {
    const path = checkpointPath(run, step);
    await rename(path, await freePath(`${path}.${why}`));
  }
  if (steps.length === 0) return;
  const index = await readCheckpointIndex(run);
  await writeOutput('the run folder', indexPath(run), () => writeIndex(run, index));
}

/** Sets aside a checkpoint from which training cannot continue, as `....safetensors.diverged`. */
export async function setCheckpointAside(run: string, step: number): Promise<void> {
  await setAside(run, [step], 'diverged');
}

/** Sets aside, as `....safetensors.superseded`, the checkpoints after a step from which the run continues. */
export async function setLaterCheckpointsAside(run: string, step: number): Promise<void> {
  const later = (await listCheckpoints(run)).filter((other) => other > step);
  await setAside(run, later, 'superseded');
}

/**
 * The step of a chosen checkpoint.
 * @throws CheckpointError when the run has no such checkpoint.
 */
async function chosenStep(run: string, choice: CheckpointChoice): Promise<number> {
  const { latest, best } = await readCheckpointIndex(run);
  if (latest === undefined) {
    throw new CheckpointError(`${run} has no checkpoint under checkpoints/; nothing to resume or export`);
  }
  if (choice === 'latest') return latest;
  if (choice === 'best') {
    if (best === undefined) {
      throw new CheckpointError(
        `${run} has no best checkpoint: none of its checkpoints was scored; use latest or a step`,
      );
    }
    return best.step;
  }
  const steps = await listCheckpoints(run);
  if (!steps.includes(choice)) {
    throw new CheckpointError(`${run} has no checkpoint of step ${choice}; it has ${steps.join(', ')}`);
  }
  return choice;
}

/** Reads the checkpoint of a step. @throws CheckpointError saying how it is damaged. */
async function readCheckpoint(run: string, chosen: number): Promise<Checkpoint> {
  const path = checkpointPath(run, chosen);
  const { metadata, tensors } = await readSafetensors(path).catch((cause: unknown) => {
    throw cause instanceof SafetensorsError ? new CheckpointError(cause.message, { cause }) : cause;
  });
  const [step, seed] = [Number(metadata['step']), Number(metadata['seed'])];
  if (step !== chosen || !Number.isSafeInteger(seed)) {
    throw new CheckpointError(
      `${path}: its metadata names step ${metadata['step']} and seed ${metadata['seed']}, not step ${chosen}`,
    );
  }
  for (const [name, value] of tensors) {
    const bad = firstNonFinite(value);
    if (bad === undefined) continue;
    throw new CheckpointError(`${path}: ${name} holds ${bad.value} (element ${bad.index}); the file is damaged`);
  }
  const { config } = metadata;
  let parsed: unknown;
  try {
    parsed = config === undefined ? undefined : JSON.parse(config);
  } catch (cause) {
    throw new CheckpointError(`${path}: the configuration in its metadata is not JSON; the file is damaged`, { cause });
  }
  const ranks = Number(metadata['ranks']);
  return {
    ...{ step, seed, data: metadata['data'] ?? 'unknown', tensors },
    ...(parsed !== undefined && { config: parsed }),
    ...(Number.isSafeInteger(ranks) && ranks > 0 && { ranks }),
  };
}

/** The newest checkpoint before a step that can be read, else the oldest after it; undefined where none can. */
async function wholeCheckpoint(run: string, damaged: number): Promise<number | undefined> {
  const steps = await listCheckpoints(run);
  const others = [...steps.filter((step) => step < damaged).reverse(), ...steps.filter((step) => step > damaged)];
  for (const step of others) {
    const whole = await readCheckpoint(run, step).then(
      () => true,
      () => false,
    );
    if (whole) return step;
  }
  return undefined;
}

/**
 * Reads a run's checkpoint, and checks that it is whole: its step, and that every number in it is finite.
 * @throws CheckpointError when there is none, or it is damaged; then it names another that is not.
 */
export async function loadCheckpoint(run: string, choice: CheckpointChoice = 'latest'): Promise<Checkpoint> {
  const chosen = await chosenStep(run, choice);
  try {
    return await readCheckpoint(run, chosen);
  } catch (cause) {
    if (!(cause instanceof CheckpointError)) throw cause;
    const other = await wholeCheckpoint(run, chosen);
    const wayOut =
      other === undefined
        ? 'The run has no other checkpoint that is whole: start another run'
        : `The checkpoint of step ${other} is whole: choose it with --checkpoint ${other}`;
    throw new CheckpointError(`${cause.message}. ${wayOut}`, { cause });
  }
}
