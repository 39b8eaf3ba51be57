import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { loadCheckpoint } from '../../src/train/checkpoint.js';
import { relativeError } from './graphs.js';
import { tinyKeys, writePhotographs } from './tinyRun.js';

/** Trainings of the same configuration by one process and by several ranks. */

/** Writes 16 photographs and a configuration of two steps an epoch. @returns the path of the configuration */
export async function writeRankConfig(folder: string, epochs: number): Promise<string> {
  const photographs = join(folder, 'photographs');
  await writePhotographs(
    photographs,
    Array.from({ length: 16 }, (_, i) => `${i}.jpg`),
  );
  const config = join(folder, 'tiny.yaml');
  const { threads: _, ...keys } = tinyKeys(photographs);
  // AdamW makes steps of full length out of the rounding of gradients that are 0.
  await writeFile(config, stringify({ ...keys, batchSize: 8, epochs, optimizer: { kind: 'lars' } }));
  return config;
}

/** Largest relative difference of a weight of two runs, which have taken as many steps. */
export async function weightDifference(a: string, b: string): Promise<number> {
  const [one, other] = await Promise.all([loadCheckpoint(a), loadCheckpoint(b)]);
  assert.equal(one.step, other.step);
  const errors = [...one.tensors]
    .filter(([name]) => !name.includes('/'))
    .map(([name, { data }]) => relativeError(other.tensors.get(name)!.data as Float32Array, data as Float32Array));
  return Math.max(...errors);
}
