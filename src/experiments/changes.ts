import { isDeepStrictEqual } from 'node:util';
import { configDifferences } from '../train/compareRuns.js';
import { parseTrainConfig, type TrainConfig } from '../train/config.js';
import type { CellRecord } from './cellRecord.js';
import type { Cell } from './cells.js';
import { digestOf, type Evaluation } from './experiment.js';

/** What has changed in an experiment's file since a cell was run. */

/** Keys that say how a run proceeds on its machine, not what it computes. */
const OF_THE_MACHINE =
  /^(name|seed|license|threads|data\.(workers|cacheBytes|prefetchBytes)|checkpoints\..*|alarm\..*)$/;

export interface CellChanges {
  /** Keys of the training configuration, as `key: before -> now`. */
  readonly training: readonly string[];
  /** Evaluations whose flags differ, with how. */
  readonly evaluations: ReadonlyMap<string, string>;
}

/** All keys with their defaults; undefined for settings that this version does not take. */
function resolved(settings: unknown): TrainConfig | undefined {
  try {
    return parseTrainConfig({ ...(settings as object), name: 'cell', seed: 0 }, 'the settings of a cell');
  } catch {
    return undefined;
  }
}

const shown = (value: string | undefined): string => value ?? 'absent';

/**
 * Compares a cell's record with what its experiment says now. Defaults are filled in on both sides, so that a key that is written out
 * with its default, or a key that is new in this version, is no change.
 */
export function changesOf(record: CellRecord, { variant }: Cell, evaluations: readonly Evaluation[]): CellChanges {
  const training: string[] = [];
  if (record.digest !== digestOf(variant.settings)) {
    const before = resolved(record.settings);
    const now = resolved(variant.settings)!;
    if (before === undefined) training.push('settings that this version does not accept any more');
    else {
      for (const { key, values } of configDifferences([before, now])) {
        if (!OF_THE_MACHINE.test(key)) training.push(`${key}: ${shown(values[0])} -> ${shown(values[1])}`);
      }
    }
  }
  const changed = evaluations.flatMap(({ name, kind, flags }): [string, string][] => {
    const before = record.evaluations[name];
    if (before === undefined) return [];
    const [then, now] = [
      { kind: before.kind, ...before.flags },
      { kind, ...flags },
    ] as Record<string, unknown>[];
    const keys = [...new Set([...Object.keys(then!), ...Object.keys(now!)])].filter(
      (key) => !isDeepStrictEqual(then![key], now![key]),
    );
    const text = keys.map(
      (key) => `${key}: ${shown(JSON.stringify(then![key]))} -> ${shown(JSON.stringify(now![key]))}`,
    );
    return keys.length === 0 ? [] : [[name, text.join(', ')]];
  });
  return { training, evaluations: new Map(changed) };
}
