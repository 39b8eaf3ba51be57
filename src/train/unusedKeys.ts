import { isDeepStrictEqual } from 'node:util';
import { dropPathBlocks, headNorm } from '../nn/backbone.js';
import { backboneOf, parseTrainConfig, type TrainConfig } from './config.js';

/** Keys that have been given a value of their own, and that the rest of the configuration leaves without effect. */

/** The value of every key that has a default. */
let defaults: TrainConfig | undefined;
const defaultsOf = (): TrainConfig => {
  defaults ??= parseTrainConfig({ name: 'x', data: { source: 'x' }, batchSize: 2, epochs: 1 }, 'the defaults');
  return defaults;
};

function valueAt(config: TrainConfig, key: string): unknown {
  return key
    .split('.')
    .reduce<unknown>((group, name) => (group as Readonly<Record<string, unknown>> | undefined)?.[name], config);
}

const never = (chance: number | readonly number[]) => [chance].flat().every((one) => one === 0);

const JITTER = ['brightness', 'contrast', 'saturation', 'hue'].map((name) => `augmentation.jitter.${name}`);
const AUGMENTATION = [
  'augmentation.flip',
  'augmentation.jitter.probability',
  ...JITTER,
  'augmentation.greyscale',
  'augmentation.blur.probability',
  'augmentation.blur.sigma',
  'augmentation.solarize.probability',
  'augmentation.solarize.threshold',
];

/**
 * Keys without effect, by what decides it. Keys of matching and the widths of heads are not among them: recipes set them for their
 * map, and stay as they are where loss.alpha or loss.matches is changed.
 */
function unused(config: TrainConfig): [reason: string, keys: readonly string[]][] {
  const { optimizer, model, loss, probe, augmentation, alarm } = config;
  const backbone = backboneOf(model);
  const { kind } = optimizer;
  const when = (holds: boolean, reason: string, ...keys: string[]): [string, string[]][] =>
    holds ? [[reason, keys]] : [];
  const weights = ['invariance', 'variance', 'covariance'] as const;
  const replaced = weights.filter((name) => loss.local?.[name] !== undefined).map((name) => `loss.${name}`);
  return [
    ...when(kind !== 'adamw', `optimizer.kind is ${kind}`, 'optimizer.beta1', 'optimizer.beta2', 'optimizer.epsilon'),
    ...when(kind === 'adamw', `optimizer.kind is ${kind}`, 'optimizer.momentum'),
    ...when(kind !== 'lars', `optimizer.kind is ${kind}`, 'optimizer.eta'),
    // 0 is what such a network has.
    ...when(
      dropPathBlocks(backbone) === 0 && model.dropPath > 0,
      `model.architecture ${model.architecture} has no stochastic depth`,
      'model.dropPath',
    ),
    ...when(
      headNorm(backbone) !== 'batch',
      `model.architecture ${model.architecture} has no batch normalisation`,
      'syncBatchNorm',
    ),
    ...when(loss.criterion !== 'simclr', `loss.criterion is ${loss.criterion}`, 'loss.temperature'),
    ...when(
      loss.criterion !== 'vicreg',
      `loss.criterion is ${loss.criterion}`,
      ...weights.map((name) => `loss.${name}`),
      'loss.local',
    ),
    ...when(
      loss.alpha === 1,
      'there is no local loss with loss.alpha 1',
      ...(loss.criterion === 'vicreg' ? ['loss.local'] : []),
      'loss.matches',
      'crops.mirrorFlippedGrid',
    ),
    ...when(
      loss.alpha === 0 && loss.criterion === 'vicreg',
      'there is no global loss with loss.alpha 0, and loss.local has weights of its own',
      ...replaced,
    ),
    ...when(
      loss.alpha < 1 && loss.matches === 'feature',
      'loss.matches is feature, which does not look at locations',
      'crops.mirrorFlippedGrid',
    ),
    ...when(probe?.knn === undefined, 'there is no probe.knn', 'probe.test'),
    ...when(!augmentation.enabled, 'augmentation.enabled is false', ...AUGMENTATION),
    ...(augmentation.enabled
      ? [
          ...when(never(augmentation.jitter.probability), 'augmentation.jitter.probability is 0', ...JITTER),
          ...when(
            never(augmentation.blur.probability),
            'augmentation.blur.probability is 0',
            'augmentation.blur.sigma',
          ),
          ...when(
            never(augmentation.solarize.probability),
            'augmentation.solarize.probability is 0',
            'augmentation.solarize.threshold',
          ),
        ]
      : []),
    ...when(alarm.collapse.threshold === 0, 'alarm.collapse.threshold is 0', 'alarm.collapse.steps'),
  ];
}

/**
 * One warning for each reason, with the keys and their values. A key that has its default may not have been written at all, and gets
 * none.
 */
export function unusedKeyWarnings(config: TrainConfig): string[] {
  const byReason = new Map<string, string[]>();
  for (const [reason, keys] of unused(config)) {
    for (const key of keys) {
      const value = valueAt(config, key);
      if (value === undefined || isDeepStrictEqual(value, valueAt(defaultsOf(), key))) continue;
      byReason.set(reason, [...(byReason.get(reason) ?? []), `${key} ${JSON.stringify(value)}`]);
    }
  }
  return [...byReason].map(([reason, keys]) => {
    const list = keys.length === 1 ? keys[0]! : `${keys.slice(0, -1).join(', ')} and ${keys.at(-1)}`;
    return `${list} ${keys.length === 1 ? 'has' : 'have'} no effect: ${reason}`;
  });
}
