import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tinyResult, trained } from '../../../test/support/tinyResults.js';
import type { ResultData } from '../../evaluate/result/schema.js';
import { changedSets, haveSameContents, haveSameSets } from './sameData.js';

describe('the data of results', () => {
  const old = tinyResult([trained()]);
  const withContents = (contents: readonly string[], more: Partial<ResultData> = {}) => ({
    ...old,
    data: old.data.map((set, i) => ({ ...set, contents: contents[i]!, ...more })),
  });

  it('are the same sets by role and fingerprint, wherever they are', () => {
    assert.ok(haveSameSets(old, withContents(['a', 'b'], { source: 'elsewhere' })));
    assert.ok(!haveSameSets(old, { ...old, data: old.data.slice(1) }));
    assert.ok(!haveSameSets(old, withContents(['a', 'b'], { fingerprint: 'other' })));
  });

  it('are other images where the contents of files under the same names differ', () => {
    assert.deepEqual(changedSets(withContents(['a', 'b']), withContents(['a', 'c'])), [1]);
    assert.deepEqual(changedSets(withContents(['a', 'b']), withContents(['a', 'b'])), []);
  });

  it('are not known to be other images in results without digests, and in parts that other seeds drew', () => {
    const now = withContents(['a', 'b']);
    assert.equal(haveSameContents(old, now, 0), undefined);
    assert.deepEqual(changedSets(old, now), []);
    const [one, other] = [withContents(['a', 'b'], { images: 2 }), withContents(['c', 'd'], { images: 2 })];
    assert.deepEqual(changedSets(one, other), [0, 1]);
    assert.deepEqual(changedSets(one, { ...other, seed: 7 }), []);
    assert.equal(haveSameContents(one, { ...other, seed: 7 }, 0), undefined);
  });
});
