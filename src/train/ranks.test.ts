import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tinyConfig } from '../../test/support/tinyRun.js';
import { createInMemoryGroup } from '../distributed/inMemory.js';
import { stepConfigOf } from './plan.js';
import { checkAgreement, checkRanks, confer } from './ranks.js';
import { passSize } from './stepConfig.js';

const config = tinyConfig('photographs', { batchSize: 24 });

describe('the ranks of a training', () => {
  it('must divide the batch', () => {
    for (const ranks of [1, 2, 3, 24]) checkRanks(config, ranks);
    assert.throws(() => checkRanks(config, 5), {
      name: 'ConfigError',
      message: 'batchSize 24 cannot be divided among 5 ranks; use 4 or 6 ranks, or a batchSize that is a multiple of 5',
    });
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

  it('take smaller micro-batches of a network without batch normalisation, so that a run goes on with any number', () => {
    const pass = (microBatch: number, ranks: number) => {
      const given = { ...config, microBatch };
      checkRanks(given, ranks);
      return passSize(stepConfigOf(given, undefined), ranks);
    };
    assert.deepEqual([pass(4, 1), pass(4, 2), pass(8, 2), pass(8, 8), pass(24, 3)], [4, 4, 4, 1, 8]);
  });

  it('leave whole micro-batches where batch normalisation takes its statistics over them', () => {
    const model = { architecture: 'resnet_basic', depths: [1, 1], widths: [8, 16], expander: [24, 24] };
    const resNet = tinyConfig('photographs', { batchSize: 24, model, loss: { alpha: 1 } });
    checkRanks({ ...resNet, microBatch: 4 }, 2);
    // The whole batch in one graph: no micro-batches were asked for.
    checkRanks({ ...resNet, microBatch: 24 }, 2);
    assert.throws(() => checkRanks({ ...resNet, microBatch: 8 }, 2), {
      name: 'ConfigError',
      message:
        'microBatch 8 does not divide the 12 photographs of a rank (batchSize 24 on 2 ranks), and batch normalisation takes its statistics over micro-batches; use 1 or 3 ranks, or in a new run microBatch 2, 3, 4, 6, 12',
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
    const probed = (folder: string) =>
      tinyConfig(`${folder}/photographs`, {
        batchSize: 24,
        probe: { data: `${folder}/labelled`, test: `${folder}/others`, knn: { k: 2 } },
      });
    const here = probed('here');
    const elsewhere = { ...probed('/other/place'), threads: 7 };
    const equal = await agree([
      [here, 'p'],
      [elsewhere, 'p'],
    ]);
    assert.ok(equal.every(({ status }) => status === 'fulfilled'));
    for (const [other, message] of [
      [[{ ...config, seed: 1 }, 'p'], /differ in their configuration \(seed\): 3 on rank 0, 1 on rank 2; start all/],
      [[here, 'p'], /differ in their configuration \(probe\.knn\.everyEpochs\): absent on rank 0, /],
      [
        [{ ...config, data: { ...config.data, labels: 'folders' } }, 'p'],
        /\(data\.labels\): "none" on rank 0, "folders" on/,
      ],
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
