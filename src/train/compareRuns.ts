import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fileProblem, isFileError } from '../files/fileProblem.js';
import { inOrder } from '../files/inOrder.js';
import { median } from '../tensor/median.js';
import { readCheckpointIndex } from './checkpoint.js';
import type { TrainConfig } from './config.js';
import { flattenKeys } from './configKeys.js';
import { createCurvePoints } from './curvePoints.js';
import type { RunCurves } from './curves.js';
import { holdsRun, readRunConfig } from './runFolder.js';
import { readRunLog } from './runLog.js';
import { createLogSummary, type RunSummary } from './runSummary.js';

/** What a run did, for comparison with others. */
export interface RunReport extends RunCurves {
  /** Name of its folder; its path if several folders have that name. */
  readonly name: string;
  readonly config: TrainConfig;
  readonly summary: RunSummary;
  /** The last value of everything that it logged (runSummary.ts). */
  readonly last: Readonly<Record<string, number>>;
  /** Median over the steps; NaN before the first one. */
  readonly imagesPerSecond: number;
  readonly best?: { readonly step: number; readonly metric: string; readonly value: number };
}

/** A key whose value is not the same in all runs; undefined if a run has none. */
export interface ConfigDifference {
  readonly key: string;
  readonly values: readonly (string | undefined)[];
}

async function readRun(folder: string, name: string): Promise<RunReport> {
  const config = await readRunConfig(folder);
  const curve = createCurvePoints();
  const log = createLogSummary();
  const rates: number[] = [];
  // There is no log before the first step.
  for await (const record of readRunLog(folder, { mayBeMissing: true })) {
    curve.add(record);
    log.add(record);
    if ('images_per_s' in record) rates.push(Number(record.images_per_s));
  }
  const { best } = await readCheckpointIndex(folder);
  return {
    name,
    config,
    points: curve.points(),
    summary: log.summary(),
    last: log.last(),
    imagesPerSecond: median(rates),
    ...(best && { best }),
  };
}

/**
 * Reads runs, finished or not.
 * @throws ConfigError for a folder that holds no run, or one whose config.yaml is damaged; RunRecordError
 */
export async function readRuns(folders: readonly string[]): Promise<RunReport[]> {
  const names = folders.map((folder) => basename(resolve(folder)));
  return inOrder(folders, (folder, i) =>
    readRun(folder, names.filter((name) => name === names[i]).length > 1 ? folder : names[i]!),
  );
}

/** A folder beside runs whose config.yaml or records cannot be read, such as one of another tool. */
export interface UnreadableRun {
  readonly folder: string;
  /** Why, in a line. */
  readonly problem: string;
}

/**
 * The runs in a folder, sorted by name: every folder directly below that has a config.yaml. One that cannot be read does not keep the
 * others from being listed.
 * @throws the file system's error for a parent that cannot be read
 */
export async function listRuns(
  parent: string,
): Promise<{ readonly runs: readonly RunReport[]; readonly unreadable: readonly UnreadableRun[] }> {
  const entries = await readdir(parent, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const runs: RunReport[] = [];
  const unreadable: UnreadableRun[] = [];
  for (const name of names.sort()) {
    const folder = join(parent, name);
    try {
      if (await holdsRun(folder)) runs.push(await readRun(folder, name));
    } catch (error) {
      const reason = isFileError(error) ? fileProblem(error) : (error as Error).message.split('\n')[0]!;
      unreadable.push({ folder, problem: reason.replace(/:$/, '') });
    }
  }
  return { runs, unreadable };
}

/** The keys in which configurations differ, in their order. */
export function configDifferences(configs: readonly TrainConfig[]): ConfigDifference[] {
  const flat = configs.map((config) => new Map(flattenKeys(config)));
  const keys = new Set(flat.flatMap((config) => [...config.keys()]));
  return [...keys].flatMap((key) => {
    const values = flat.map((config): string | undefined => JSON.stringify(config.get(key)));
    return new Set(values).size > 1 ? [{ key, values }] : [];
  });
}
