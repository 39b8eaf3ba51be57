import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseTrainConfig } from './config.js';
import { configWarnings, scheduleOf } from './plan.js';

describe('micro-batches of a network with batch normalisation', () => {
  const keys = { name: 'a', data: { source: 'x' }, batchSize: 64, epochs: 6 };
  const warnings = (more: object, ranks?: number) => {
    const config = parseTrainConfig({ ...keys, ...more }, 'x.yaml');
    return configWarnings(config, scheduleOf(config, 10), 'cpu', ranks);
  };
  const resnet = { model: { architecture: 'resnet18' } };

  it('get a warning with the photographs of the statistics', () => {
    assert.deepEqual(warnings({ ...resnet, microBatch: 16 }), [
      'with microBatch 16 batch normalisation takes its statistics over 16 photographs, not over the 64 of the batch, which ' +
        'makes it a different network function',
    ]);
  });

  it('get none where the statistics are those of the batch, or the network has no batch normalisation', () => {
    assert.deepEqual(warnings(resnet), []);
    assert.deepEqual(warnings({ ...resnet, microBatch: 64 }), []);
    assert.deepEqual(warnings({ microBatch: 16 }), []);
  });

  it('count the photographs of all ranks, unless the statistics stay within a rank', () => {
    assert.deepEqual(warnings({ ...resnet, microBatch: 16 }, 4), []);
    assert.match(warnings({ ...resnet, microBatch: 8 }, 4).join(), /over 32 photographs, not over the 64/);
    assert.match(warnings({ ...resnet, microBatch: 16, syncBatchNorm: false }, 4).join(), /over 16 photographs/);
  });
});
