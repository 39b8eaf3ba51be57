import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyKeys } from '../../test/support/tinyRun.js';
import { parseTrainConfig } from './config.js';
import { probeSizes } from './probeSchema.js';

const config = (keys: object) => parseTrainConfig({ ...tinyKeys('photographs'), ...keys }, 'the configuration');
const refused = (keys: object, message: RegExp) => assert.throws(() => config(keys), { name: 'ConfigError', message });

test('there are no probes by default; a configured probe has the defaults of the protocol', () => {
  assert.equal(config({}).probe, undefined);
  const { probe } = config({ probe: { data: 'labelled', knn: {}, linear: {} } });
  assert.deepEqual(probe?.knn, { everyEpochs: 1, k: 20, temperature: 0.07, trainImages: 5000, testImages: 1000 });
  assert.deepEqual(probe?.linear, { everySteps: 1, batchSize: 64, lr: 0.005, momentum: 0.9, weightDecay: 1e-6 });
});

test('probed images have the size of the crops and a border as in the paper by default', () => {
  assert.deepEqual(probeSizes({ crops: { size: 224 } }), { crop: 224, resize: 256 });
  assert.deepEqual(probeSizes({ crops: { size: 128 } }), { crop: 128, resize: 146 });
  const probe = { crop: 64, resize: 64 };
  assert.deepEqual(probeSizes({ crops: { size: 128 }, probe }), { crop: 64, resize: 64 });
});

test('probes that cannot work are rejected with their key and the way out', () => {
  refused({ probe: { data: 'labelled' } }, /probe: contains no probe; add knn: \{\} or linear: \{\}/);
  refused({ probe: { knn: {} } }, /probe\.data: is missing, and data\.labels is none/);
  refused(
    { data: { source: 'photographs', labels: 'folders' }, probe: { linear: {} } },
    /probe\.linear: requires probe\.data; on the training data, use the online classifier/,
  );
  refused(
    { probe: { data: 'labelled', knn: {}, crop: 100 } },
    /probe\.crop: 100 is not a multiple of the stride 8; use 104/,
  );
  refused(
    { probe: { data: 'labelled', knn: {}, crop: 64, resize: 60 } },
    /probe\.resize: 60 is smaller than the crop 64/,
  );
  refused(
    { stepsPerRun: 4, probe: { data: 'labelled', linear: { everySteps: 6 } } },
    /probe\.linear\.everySteps: 6 is not a multiple of stepsPerRun \(4\); use 8/,
  );
});
