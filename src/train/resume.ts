import { learningRate } from '../optim/schedule.js';
import { type Checkpoint, CheckpointError } from './checkpoint.js';
import { ConfigError, parseRecordedConfig, type TrainConfig } from './config.js';
import { parseSetting, type Setting } from './configFile.js';
import { flattenKeys } from './configKeys.js';
import { scheduleOf, stepConfigOf } from './plan.js';
import { statisticsSize } from './stepConfig.js';

/** What a resumed run may change, and what has changed since its checkpoint was written. */

/**
 * Keys that a resumed run may change: how fast and how long it continues, not what it trains. Anything else would make the
 * checkpoint mean something different.
 */
const CHANGEABLE =
  /^(optimizer\.(?!kind$|emaDecay$)\w+|epochs|warmupEpochs|endLrRatio|threads|stepsPerRun|precision|checkpoints(\.[\w.]+)?|alarm(\.[\w.]+)?|license|data\.(workers|cacheBytes|prefetchBytes))$/;
const CHANGEABLE_TEXT =
  'optimizer keys (but not kind or emaDecay), epochs, warmupEpochs, endLrRatio, threads, stepsPerRun, precision, checkpoints, alarm, ' +
  'license, data.workers, data.cacheBytes and data.prefetchBytes';

/** Keys that may differ from the checkpoint's, but not by --set: a name, and a place whose content is compared itself. */
const FREE: ReadonlySet<string> = new Set(['name', 'data.source', 'probe.data', 'probe.test']);

/** @throws ConfigError for the first `key=value` setting that a resumed run may not have, or that is not of this form. */
export function checkResumedSettings(settings: readonly Setting[]): void {
  for (const { path, flag, value } of settings.map(parseSetting)) {
    const whole = path.join('.');
    // A group may be set as a whole where each of its keys may be.
    const refused = flattenKeys(value, whole).find(([key]) => !CHANGEABLE.test(key));
    if (refused === undefined) continue;
    const where = refused[0] === whole ? '' : `${refused[0]}: `;
    throw new ConfigError(
      `${flag}: ${where}a resumed run may change ${CHANGEABLE_TEXT}; start another run for the rest`,
    );
  }
}

/** A key in which two configurations differ; a value is undefined if the key is absent. */
interface KeyDifference {
  readonly key: string;
  readonly before: unknown;
  readonly now: unknown;
}

/** The keys in which two configurations (or parts of them) differ, in the order of the first. */
export function keyDifferences(before: object, now: object): KeyDifference[] {
  const [old, current] = [new Map(flattenKeys(before)), new Map(flattenKeys(now))];
  return [...new Set([...old.keys(), ...current.keys()])]
    .map((key) => ({ key, before: old.get(key), now: current.get(key) }))
    .filter((difference) => JSON.stringify(difference.before) !== JSON.stringify(difference.now));
}

/** A value of a key in a message. */
export const shown = (value: unknown) => (value === undefined ? 'absent' : JSON.stringify(value));

/** The configuration that a checkpoint was written with; undefined for one of an older version, which holds none. */
export function configOf({ step, config }: Checkpoint): TrainConfig | undefined {
  return config === undefined
    ? undefined
    : parseRecordedConfig(config, `the configuration in the checkpoint of step ${step}`);
}

/**
 * Compares a run's configuration with that of the checkpoint from which it continues.
 * @throws CheckpointError listing the keys that differ and may not.
 */
export function checkResumedConfig(checkpoint: Checkpoint, now: TrainConfig): void {
  const before = configOf(checkpoint);
  if (before === undefined) return;
  const refused = keyDifferences(before, now).filter(({ key }) => !CHANGEABLE.test(key) && !FREE.has(key));
  if (refused.length === 0) return;
  throw new CheckpointError(
    `config.yaml is not what the checkpoint of step ${checkpoint.step} was trained with:\n` +
      refused.map(({ key, before: was, now: is }) => `  ${key}: ${shown(was)} then, ${shown(is)} now\n`).join('') +
      `Give these keys their values back; a resumed run may change ${CHANGEABLE_TEXT}. Start another run for the rest`,
  );
}

/** How many ranks take a step. */
const rankCount = (ranks: number): string => (ranks === 1 ? 'one process' : `${ranks} ranks`);

/** What another number of ranks changes; nothing is known of a checkpoint that does not name its own. */
function rankNotes({ step, ranks: then }: Checkpoint, config: TrainConfig, ranks: number): string[] {
  if (then === undefined || then === ranks) return [];
  const stepConfig = stepConfigOf(config, undefined);
  const [was, is] = [statisticsSize(stepConfig, then), statisticsSize(stepConfig, ranks)];
  if (was === is) return [];
  return [
    `batch normalisation takes its statistics over ${is} photographs (${rankCount(ranks)}), and took them over ${was} until step ${step} ` +
      `(${rankCount(then)}): the network computes something else from here on; to keep it, go on with ${rankCount(then)}`,
  ];
}

/**
 * What the user should know of the keys that changed: which ones, and what that does to the learning rate; and of another number of ranks.
 * @param stepsPerEpoch whole batches of the photographs.
 * @param ranks processes that go on with the run.
 */
export function resumeNotes(checkpoint: Checkpoint, now: TrainConfig, stepsPerEpoch: number, ranks: number): string[] {
  const { step } = checkpoint;
  const before = configOf(checkpoint);
  if (before === undefined) {
    return [
      `the checkpoint of step ${step} was written by an older version and does not hold its configuration: ` +
        'config.yaml is taken as it stands',
    ];
  }
  const ofRanks = rankNotes(checkpoint, now, ranks);
  const differences = keyDifferences(before, now);
  if (differences.length === 0) return ofRanks;
  const rate = (config: TrainConfig) => learningRate(step, scheduleOf(config, stepsPerEpoch));
  const [was, is] = [rate(before), rate(now)];
  const number = (value: number) => String(Number(value.toPrecision(3)));
  const list = differences.map(({ key, before: old, now: value }) => `${key} ${shown(value)} (was ${shown(old)})`);
  return [
    ...ofRanks,
    `the run goes on with other keys than the checkpoint of step ${step}: ${list.join(', ')}`,
    ...(was === is
      ? []
      : [`the learning rate of step ${step + 1} is therefore ${number(is)}, and would have been ${number(was)}`]),
  ];
}
