import { isDeepStrictEqual } from 'node:util';
import { configDifferences } from '../train/compareRuns.js';
import { parseRecordedConfig, type TrainConfig } from '../train/config.js';
import type { CellRecord } from './cellRecord.js';
import type { Cell } from './cells.js';
import { digestOf, type Evaluation } from './experiment.js';
import { camelCase } from './flagNames.js';

/** What has changed in an experiment's file since a cell was run. */

/** The settings of a variant as a cell or an experiment's folder records them. */
export interface RecordedSettings {
  readonly digest: string;
  /** undefined in the folders of older versions. */
  readonly settings?: unknown;
}

/** Keys that say how a run proceeds on its machine, not what it computes. */
const OF_THE_MACHINE =
  /^(name|seed|license|threads|data\.(workers|cacheBytes|prefetchBytes)|checkpoints\..*|alarm\..*)$/;

/** Flags of evaluations that do the same. */
const FLAGS_OF_THE_MACHINE = new Set(['cache', 'device', 'threads']);

export interface CellChanges {
  /** Keys of the training configuration, as `key: before -> now`. */
  readonly training: readonly string[];
  /** Evaluations whose flags differ, with how. */
  readonly evaluations: ReadonlyMap<string, string>;
}

/** All keys with their defaults; undefined for settings that this version does not take. */
function resolved(settings: unknown): TrainConfig | undefined {
  try {
    return parseRecordedConfig({ ...(settings as object), name: 'cell', seed: 0 }, 'the settings of a cell');
  } catch {
    return undefined;
  }
}

const shown = (value: string | undefined): string => value ?? 'absent';

/**
 * The keys in which settings differ, as `key: before -> now`. Defaults are filled in on both sides, so that a key that is written out
 * with its default, or a key that is new in this version, is no change; nor are keys that do not change what is computed.
 */
export function settingsChanges(before: RecordedSettings, now: RecordedSettings): string[] {
  if (before.digest === now.digest) return [];
  if (before.settings === undefined || now.settings === undefined)
    return ['settings that an older version did not record'];
  const [then, present] = [resolved(before.settings), resolved(now.settings)];
  if (then === undefined && present !== undefined) return ['settings that this version does not accept any more'];
  // Where a variable stands for more than a text, defaults are unknown until it has its value.
  const compared = then && present ? [then, present] : ([before.settings, now.settings] as TrainConfig[]);
  return configDifferences(compared)
    .filter(({ key }) => !OF_THE_MACHINE.test(key))
    .map(({ key, values }) => `${key}: ${shown(values[0])} -> ${shown(values[1])}`);
}

/** Kind and flags, whichever spelling a file has. */
const byFlag = ({ kind, flags }: Pick<Evaluation, 'kind' | 'flags'>): ReadonlyMap<string, unknown> =>
  new Map([['kind', kind], ...Object.entries(flags).map(([flag, value]) => [camelCase(flag), value] as const)]);

/** Compares a cell's record with what its experiment says now. */
export function changesOf(record: CellRecord, { variant }: Cell, evaluations: readonly Evaluation[]): CellChanges {
  const { settings } = variant;
  const training = settingsChanges(record, { digest: digestOf(settings), settings });
  const changed = evaluations.flatMap((evaluation): [string, string][] => {
    const { name } = evaluation;
    const before = record.evaluations[name];
    if (before === undefined) return [];
    const [then, now] = [byFlag(before), byFlag(evaluation)];
    const keys = [...new Set([...then.keys(), ...now.keys()])].filter(
      (key) => !FLAGS_OF_THE_MACHINE.has(key) && !isDeepStrictEqual(then.get(key), now.get(key)),
    );
    const text = keys.map(
      (key) => `${key}: ${shown(JSON.stringify(then.get(key)))} -> ${shown(JSON.stringify(now.get(key)))}`,
    );
    return keys.length === 0 ? [] : [[name, text.join(', ')]];
  });
  return { training, evaluations: new Map(changed) };
}
