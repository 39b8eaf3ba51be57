import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseTrainConfig } from './config.js';
import { configWarnings, scheduleOf } from './plan.js';
import { unusedKeyWarnings } from './unusedKeys.js';

const minimal = { name: 'a', data: { source: 'x' }, batchSize: 8, epochs: 6 };
const config = (keys: object) => parseTrainConfig({ ...minimal, ...keys }, 'x.yaml');
const resnet = { model: { architecture: 'resnet18' } };

describe('a key without effect', () => {
  const unused: Record<string, readonly [object, string]> = {
    'of another optimizer': [
      { optimizer: { momentum: 0.95, eta: 0.01 } },
      'optimizer.momentum 0.95 and optimizer.eta 0.01 have no effect: optimizer.kind is adamw',
    ],
    'of AdamW': [
      { optimizer: { kind: 'lars', beta1: 0.8, beta2: 0.99, epsilon: 1e-6 } },
      'optimizer.beta1 0.8, optimizer.beta2 0.99 and optimizer.epsilon 0.000001 have no effect: optimizer.kind is lars',
    ],
    'of LARS': [{ optimizer: { kind: 'sgd', eta: 0.01 } }, 'optimizer.eta 0.01 has no effect: optimizer.kind is sgd'],
    'of networks with stochastic depth': [
      { model: { architecture: 'resnet18', dropPath: 0.5 } },
      'model.dropPath 0.5 has no effect: model.architecture resnet18 has no stochastic depth',
    ],
    'of networks with batch normalisation': [
      { syncBatchNorm: false },
      'syncBatchNorm false has no effect: model.architecture convnext_atto has no batch normalisation',
    ],
    'of simclr': [{ loss: { temperature: 0.2 } }, 'loss.temperature 0.2 has no effect: loss.criterion is vicreg'],
    'of vicreg': [
      { loss: { criterion: 'simclr', invariance: 0, local: { variance: 1 } } },
      'loss.invariance 0 and loss.local {"variance":1} have no effect: loss.criterion is simclr',
    ],
    'of the local loss': [
      { loss: { alpha: 1, matches: 'location', local: { variance: 1 } }, crops: { mirrorFlippedGrid: false } },
      'loss.local {"variance":1}, loss.matches "location" and crops.mirrorFlippedGrid false have no effect: ' +
        'there is no local loss with loss.alpha 1',
    ],
    'of the global loss': [
      { loss: { alpha: 0, variance: 3, covariance: 2, local: { variance: 1 } } },
      'loss.variance 3 has no effect: there is no global loss with loss.alpha 0, and loss.local has weights of its own',
    ],
    'of locations': [
      { loss: { matches: 'feature' }, crops: { mirrorFlippedGrid: false } },
      'crops.mirrorFlippedGrid false has no effect: loss.matches is feature, which does not look at locations',
    ],
    'of the k-NN probe': [
      { probe: { data: 'x', test: 'photos/test', linear: {} } },
      'probe.test "photos/test" has no effect: there is no probe.knn',
    ],
    'of augmentations that are off': [
      { augmentation: { enabled: false, flip: 0.2, blur: { sigma: [1, 2] } } },
      'augmentation.flip 0.2 and augmentation.blur.sigma [1,2] have no effect: augmentation.enabled is false',
    ],
    'of an augmentation that never happens': [
      { augmentation: { solarize: { probability: [0, 0], threshold: 90 } } },
      'augmentation.solarize.threshold 90 has no effect: augmentation.solarize.probability is 0',
    ],
    'of an alarm that is off': [
      { alarm: { collapse: { threshold: 0, steps: 9 } } },
      'alarm.collapse.steps 9 has no effect: alarm.collapse.threshold is 0',
    ],
  };
  for (const [what, [keys, warning]] of Object.entries(unused)) {
    it(`${what} gets one warning`, () => {
      const given = config(keys);
      assert.deepEqual(unusedKeyWarnings(given), [warning]);
      const all = configWarnings(given, scheduleOf(given, 10), 'cpu');
      assert.equal(all.filter((one) => one === warning).length, 1);
    });
  }

  it('gets none where it has an effect, or its default', () => {
    for (const keys of [
      {},
      resnet,
      { model: { architecture: 'resnet18', dropPath: 0 } },
      { ...resnet, syncBatchNorm: false, optimizer: { kind: 'lars', momentum: 0.8, eta: 0.01 } },
      { optimizer: { kind: 'sgd', momentum: 0.8 } },
      { optimizer: { kind: 'adamw', beta1: 0.8, momentum: 0.9 } },
      { model: { dropPath: 0.4 }, loss: { invariance: 10, local: { variance: 1 } } },
      { loss: { criterion: 'simclr', temperature: 0.2 } },
      { loss: { alpha: 0, variance: 3 } },
      // As recipes have them for their maps.
      { loss: { alpha: 1, numMatches: [4, 4], featureMatches: 'top' }, model: { localProjector: [8] } },
      { probe: { data: 'x', test: 'y', knn: {} } },
      { augmentation: { enabled: false } },
    ]) {
      assert.deepEqual(unusedKeyWarnings(config(keys)), [], JSON.stringify(keys));
    }
  });
});
