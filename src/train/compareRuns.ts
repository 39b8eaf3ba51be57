import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { inOrder } from '../files/inOrder.js';
import { readCheckpointIndex } from './checkpoint.js';
import type { TrainConfig } from './config.js';
import { createCurvePoints } from './curvePoints.js';
import type { RunCurves } from './curves.js';
import { holdsRun, readRunConfig } from './runFolder.js';
import { readRunLog } from './runLog.js';
import { type RunSummary, summariseRun } from './runSummary.js';

/** What a run did, for comparison with others. */
export interface RunReport extends RunCurves {
  /** Name of its folder; its path if several folders have that name. */
  readonly name: string;
  readonly config: TrainConfig;
  readonly summary: RunSummary;
  /** Median over the steps; NaN before the first one. */
  readonly imagesPerSecond: number;
  readonly best?: { readonly step: number; readonly metric: string; readonly value: number };
}

/** A key whose value is not the same in all runs; undefined if a run has none. */
export interface ConfigDifference {
  readonly key: string;
  readonly values: readonly (string | undefined)[];
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

/**
 * Reads runs, finished or not.
 * @throws ConfigError for a folder that holds no run.
 */
export async function readRuns(folders: readonly string[]): Promise<RunReport[]> {
  const names = folders.map((folder) => basename(resolve(folder)));
  return inOrder(folders, async (folder, i) => {
    const config = await readRunConfig(folder);
    const log = await readRunLog(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []; // The run has no steps yet.
      throw error;
    });
    const curve = createCurvePoints();
    for (const record of log) curve.add(record);
    const { best } = await readCheckpointIndex(folder);
    const rates = log.flatMap((record) => ('images_per_s' in record ? [Number(record.images_per_s)] : []));
    return {
      name: names.filter((name) => name === names[i]).length > 1 ? folder : names[i]!,
      config,
      points: curve.points(),
      summary: summariseRun(log, log.at(-1)?.step ?? 0),
      imagesPerSecond: median(rates),
      ...(best && { best }),
    };
  });
}

/** Folders in `parent` that hold a run, sorted. */
export async function findRuns(parent: string): Promise<string[]> {
  const entries = await readdir(parent, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(parent, name));
  const runs = await Promise.all(folders.map(async (folder) => ((await holdsRun(folder)) ? [folder] : [])));
  return runs.flat().sort();
}

/** `a.b.c` -> value as JSON, lists whole. */
function flatten(value: unknown, prefix = ''): [string, string][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[prefix, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, inner]) => flatten(inner, prefix === '' ? key : `${prefix}.${key}`));
}

/** The keys in which configurations differ, in their order. */
export function configDifferences(configs: readonly TrainConfig[]): ConfigDifference[] {
  const flat = configs.map((config) => new Map(flatten(config)));
  const keys = new Set(flat.flatMap((config) => [...config.keys()]));
  return [...keys].flatMap((key) => {
    const values = flat.map((config) => config.get(key));
    return new Set(values).size > 1 ? [{ key, values }] : [];
  });
}
