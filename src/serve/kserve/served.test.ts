import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyManifest } from '../../../test/support/tinyModel.js';
import { createFakeEngine } from '../../engine/fakeEngine.js';
import { ServeError } from '../call/serveError.js';
import { defaultServeLimits } from '../config/serveLimits.js';
import { createModelRegistry, modelLabel } from '../inference/registry.js';
import { modelMetadata } from './metadata.js';
import { findModel } from './served.js';

const fields = { name: 'model_name', version: 'model_version' };
const models = createModelRegistry({
  models: [
    ['atto', '2'],
    ['nano', '1'],
    ['atto', '3'],
  ].map(([name, version]) => ({
    engine: createFakeEngine({ manifest: { ...tinyManifest, name: name!, version: version!, files: {} } }),
  })),
  limits: defaultServeLimits,
});

const found = (name: string, version: string): string => modelLabel(findModel(models, name, version, fields));

test('a model is found by name and version; an empty version is the first of the name, an empty name the default model', () => {
  assert.equal(found('atto', ''), 'atto@2');
  assert.equal(found('atto', '3'), 'atto@3');
  assert.equal(found('nano', ''), 'nano@1');
  assert.equal(found('', ''), 'atto@2');
  assert.equal(found('', '3'), 'atto@3');
});

test('the metadata of a model list all versions of its name', () => {
  assert.deepEqual(modelMetadata(models, findModel(models, 'atto', '3', fields)).versions, ['2', '3']);
});

test('what is not served is named by its field, with everything that is, and a long name is cut', () => {
  const served = 'served: "atto" version "2", "nano" version "1", "atto" version "3"';
  for (const [name, version, message] of [
    ['nano', '2', 'model_version: "2" of "nano" is not served here'],
    // The label of our own requests is not a name here.
    ['atto@3', '', 'model_name: "atto@3" is not served here'],
    ['x'.repeat(5000), '', `model_name: "${'x'.repeat(100)}" is not served here`],
    ['constructor', '', 'model_name: "constructor" is not served here'],
  ] as const) {
    assert.throws(
      () => found(name, version),
      (error) => {
        assert.ok(error instanceof ServeError);
        assert.equal(error.code, 'unknown_model');
        assert.ok(error.message.startsWith(`${message}; ${served}`), error.message);
        return true;
      },
    );
  }
});
