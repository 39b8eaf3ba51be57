import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tinyConfig } from '../../test/support/tinyRun.js';
import { createInMemoryGroup } from '../distributed/inMemory.js';
import { checkAgreement, checkRanks, confer } from './ranks.js';

const config = tinyConfig('photographs', { batchSize: 24 });

describe('the ranks of a training', () => {
  it('must divide the batch, and leave whole micro-batches', () => {
    for (const ranks of [1, 2, 3, 24]) checkRanks(config, ranks);
    assert.throws(() => checkRanks(config, 5), {
      name: 'ConfigError',
      message: 'batchSize 24 cannot be divided among 5 ranks; use 4 or 6 ranks, or a batchSize that is a multiple of 5',
    });
    checkRanks({ ...config, microBatch: 4 }, 2);
    assert.throws(
      () => checkRanks({ ...config, microBatch: 8 }, 2),
      /microBatch 8 does not divide the 12 photographs of a rank .*; use 1, 2, 3, 4, 6, 12$/,
    );
    assert.throws(() => checkRanks({ ...config, stepsPerRun: 4 }, 2), /stepsPerRun is 4, .* set it to 1/);
  });

  it('must have several photographs each where batch normalisation takes its statistics over them', () => {
    const model = { architecture: 'resnet_basic', depths: [1, 1], widths: [8, 16], expander: [24, 24] };
    const resNet = tinyConfig('photographs', { batchSize: 4, model, loss: { alpha: 1 } });
    checkRanks(resNet, 4);
    checkRanks({ ...resNet, syncBatchNorm: false }, 2);
    checkRanks({ ...config, batchSize: 4, syncBatchNorm: false }, 4);
    assert.throws(() => checkRanks({ ...resNet, syncBatchNorm: false }, 4), {
      name: 'ConfigError',
      message:
        'each of 4 ranks has one photograph (batchSize 4), and batch normalisation without syncBatchNorm takes its statistics over that alone; use syncBatchNorm: true, a batchSize of at least 8, or fewer ranks',
    });
  });

  it('agree on configuration and photographs, but not on paths and threads', async () => {
    const agree = (given: readonly (readonly [typeof config, string, string?])[]) =>
      Promise.allSettled(
        createInMemoryGroup(given.length).map((collectives, rank) => {
          const [own, photographs, device = 'cpu'] = given[rank]!;
          return checkAgreement(collectives, own, { device, photographs });
        }),
      );
    const elsewhere = { ...config, threads: 7, data: { ...config.data, source: '/other/place' } };
    const equal = await agree([
      [config, 'p'],
      [elsewhere, 'p'],
    ]);
    assert.ok(equal.every(({ status }) => status === 'fulfilled'));
    for (const [other, message] of [
      [[{ ...config, seed: 1 }, 'p'], /differ in their configuration: \w{16} on rank 0, \w{16} on rank 2; start all/],
      [[config, 'q'], /differ in their photographs: p on rank 0, q on rank 2/],
      [[config, 'p', 'cuda'], /differ in their device: cpu on rank 0, cuda on rank 2/],
    ] as const) {
      for (const result of await agree([[config, 'p'], [config, 'p'], other])) {
        assert.equal(result.status, 'rejected');
        assert.match((result.reason as Error).message, message);
      }
    }
  });

  it('all learn when one has to stop, and what the others have to say', async () => {
    const rounds = (stops: boolean[], texts: string[]) =>
      Promise.all(createInMemoryGroup(3).map((collectives, rank) => confer(collectives, stops[rank]!, texts[rank]!)));
    const quiet = await rounds([false, false, false], ['', '', '']);
    assert.deepEqual(quiet, Array(3).fill({ stop: false, said: [] }));
    const stopped = await rounds([false, true, false], ['', '', '']);
    assert.deepEqual(stopped, Array(3).fill({ stop: true, said: [] }));
    const said = await rounds([false, false, false], ['', 'ä longer text', 'b']);
    assert.deepEqual(said, Array(3).fill({ stop: false, said: ['ä longer text', 'b'] }));
  });
});
