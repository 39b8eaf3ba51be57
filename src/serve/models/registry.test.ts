import assert from 'node:assert/strict';
import { test } from 'node:test';
import pLimit from 'p-limit';
import { tinyManifest } from '../../../test/support/tinyModel.js';
import { createFakeEngine } from '../../engine/fakeEngine.js';
import { defaultServeLimits } from '../limits.js';
import { createFeatureStore } from '../stored/featureStore.js';
import { createModelRegistry } from './registry.js';

const engine = (name: string, version: string) =>
  createFakeEngine({ manifest: { ...tinyManifest, files: {}, name, version } });
const shared = {
  limits: defaultServeLimits,
  decoding: pLimit(1),
  matching: pLimit(1),
  reducing: pLimit(1),
  features: createFeatureStore(defaultServeLimits),
};
const versionOf = async ({ engine: { manifest } }: { engine: { manifest: { name: string; version: string } } }) =>
  `${manifest.name}@${manifest.version}`;

test('requests name a model by name, by name and version, or not at all', async () => {
  const engines = [engine('atto', '2'), engine('atto', '1'), engine('resnet', '1')];
  const models = createModelRegistry({ engines, ...shared });
  assert.equal(await models.use('', versionOf), 'atto@2');
  assert.equal(await models.use('atto', versionOf), 'atto@2');
  assert.equal(await models.use('atto@1', versionOf), 'atto@1');
  assert.equal(await models.use('resnet', versionOf), 'resnet@1');
  await assert.rejects(models.use('resnet@2', versionOf), {
    code: 'unknown_model',
    message: /"resnet@2" is not served here; use "atto@2", "atto@1", "resnet@1".*empty for atto@2/,
  });
  await models.close();
});

test('the same name and version twice, or no model, is refused', () => {
  const engines = [engine('atto', '1'), engine('atto', '1')];
  assert.throws(() => createModelRegistry({ engines, ...shared }), { message: /atto@1 is given twice/ });
  assert.throws(() => createModelRegistry({ engines: [], ...shared }), { message: /there is none/ });
});
