import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tinyKeys } from '../../test/support/tinyRun.js';
import { changesOf, settingsChanges } from './changes.js';
import { digestOf } from './experiment.js';

const { name: _, seed: __, ...keys } = tinyKeys(`\${DATA}/photographs`);
const recorded = (settings: unknown) => ({ settings, digest: digestOf(settings) });

describe('settingsChanges', () => {
  it('names the keys that differ, with both values', () => {
    const loss = { ...keys.loss, alpha: 0.5 };
    assert.deepEqual(settingsChanges(recorded(keys), recorded({ ...keys, loss, batchSize: 8 })), [
      'loss.alpha: 0.75 -> 0.5',
      'batchSize: 4 -> 8',
    ]);
  });

  it('has none for keys of the machine, and defaults that are written out', () => {
    const data = { ...keys.data, workers: 3 };
    const loss = { ...keys.loss, criterion: 'vicreg' };
    const now = { ...keys, data, loss, threads: 2, checkpoints: { every: 7 }, license: 'MIT' };
    assert.notEqual(digestOf(now), digestOf(keys));
    assert.deepEqual(settingsChanges(recorded(keys), recorded(now)), []);
    assert.deepEqual(settingsChanges(recorded(now), recorded(keys)), []);
  });

  it('compares digests alone where settings were not recorded', () => {
    const { digest } = recorded(keys);
    assert.deepEqual(settingsChanges({ digest }, recorded(keys)), []);
    assert.match(settingsChanges({ digest }, recorded({ ...keys, threads: 2 }))[0]!, /older version did not record/);
  });

  it('compares what is written where a variable stands for more than a text', () => {
    const model = { ...keys.model, architecture: `\${NETWORK}` };
    const now = { ...keys, model };
    assert.deepEqual(settingsChanges(recorded(now), recorded({ ...now, threads: 2 })), []);
    assert.deepEqual(settingsChanges(recorded(keys), recorded(now)), [`model.architecture: "custom" -> "\${NETWORK}"`]);
    assert.deepEqual(settingsChanges(recorded({ ...keys, old: 1 }), recorded(keys)), [
      'settings that this version does not accept any more',
    ]);
  });
});

describe('changesOf', () => {
  it('names flags of evaluations that differ, without those of the machine', () => {
    const before = { kind: 'knn', status: 'done', seconds: 1, flags: { train: 'x', cache: 'c', threads: 1 } } as const;
    const record = { ...recorded(keys), evaluations: { knn: before } } as never;
    const changed = (flags: object) =>
      changesOf(record, { variant: { settings: keys }, seed: 1 } as never, [
        { name: 'knn', kind: 'knn', flags } as never,
      ]);
    assert.deepEqual([...changed({ train: 'x', threads: 2, device: 'cuda' }).evaluations], []);
    assert.deepEqual([...changed({ train: 'y', k: 3 }).evaluations], [['knn', 'train: "x" -> "y", k: absent -> 3']]);
  });

  it('takes both spellings of a flag for the same', () => {
    const before = { kind: 'knn', status: 'done', seconds: 1, flags: { 'train-images': 4 } } as const;
    const record = { ...recorded(keys), evaluations: { knn: before } } as never;
    const changed = (flags: object) =>
      changesOf(record, { variant: { settings: keys }, seed: 1 } as never, [
        { name: 'knn', kind: 'knn', flags } as never,
      ]);
    assert.deepEqual([...changed({ trainImages: 4 }).evaluations], []);
    assert.deepEqual([...changed({ trainImages: 6 }).evaluations], [['knn', 'trainImages: 4 -> 6']]);
  });
});
