import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GetModelResponse__Output } from '../proto/generated/vicregl/v1/GetModelResponse.js';
import { readModelInfo } from './model.js';

const response: GetModelResponse__Output = {
  model: { name: 'tiny', version: '1' },
  architecture: 'tiny',
  depths: [1],
  widths: [8],
  alpha: 0.75,
  stride: 8,
  dimensions: { backbone: 16 },
  preprocessing: { resize: 64, crop: 56, mean: [], std: [], interpolation: 'bicubic' },
  precision: 'float32',
  license: '',
  trainingJson: '',
  provider: 'cpu',
  stages: [],
  compute: 'float32',
};

test('a missing training_json is unknown, and not an error', () => {
  assert.deepEqual(readModelInfo(response).training, {});
  assert.deepEqual(readModelInfo({ ...response, trainingJson: '{"steps":3}' }).training, { steps: 3 });
});

test('an absent alpha is unknown, and 0 is 0', () => {
  const { alpha: _, ...silent } = response;
  assert.equal(readModelInfo(silent).alpha, null);
  assert.equal(readModelInfo({ ...response, alpha: 0 }).alpha, 0);
});

test('a training_json that is not a JSON object is INTERNAL', () => {
  for (const trainingJson of ['{', '[1]', 'null', '3']) {
    assert.throws(() => readModelInfo({ ...response, trainingJson }), {
      name: 'VicreglError',
      code: 'INTERNAL',
      message: /training_json/,
    });
  }
});
