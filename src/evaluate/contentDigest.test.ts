import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { contentDigest, DIGEST_PART, setDigest } from './contentDigest.js';

/** A source of one byte per image; undefined for an image that cannot be read. */
function sourceOf(values: readonly (number | undefined)[]) {
  let reads = 0;
  return {
    reads: () => reads,
    count: values.length,
    nameOf: String,
    async read(index: number) {
      reads++;
      const value = values[index];
      if (value === undefined) throw new Error('permission denied');
      return Buffer.from([value]);
    },
  };
}

describe('the digest of the files of images', () => {
  it('differs where a file, the order, or whether a file can be read differs', async () => {
    const digests = await Promise.all([
      contentDigest(sourceOf([1, 2, 3]), [0, 1, 2]),
      contentDigest(sourceOf([1, 2, 4]), [0, 1, 2]),
      contentDigest(sourceOf([1, 2, 3]), [1, 0, 2]),
      contentDigest(sourceOf([1, 2, undefined]), [0, 1, 2]),
      contentDigest(sourceOf([1, 2, 3]), [0, 1]),
    ]);
    assert.equal(new Set(digests).size, digests.length);
    assert.equal(await contentDigest(sourceOf([1, 2, 3]), [0, 1, 2]), digests[0]);
  });

  it('reads each image once, however often and in whatever groups of parts it is asked for', async () => {
    const count = DIGEST_PART + 5;
    const source = sourceOf(Array.from({ length: count }, (_, i) => i % 256));
    const indices = Array.from({ length: count }, (_, i) => i);
    const reported: number[] = [];
    const whole = await contentDigest(source, indices, (read) => reported.push(read));
    assert.deepEqual(reported, [DIGEST_PART, 5]);
    assert.equal(await contentDigest(source, indices), whole);
    await contentDigest(source, indices.slice(0, DIGEST_PART));
    assert.equal(source.reads(), count);
  });

  it('of a set does not depend on the order', async () => {
    const source = sourceOf([1, 2, 3, 4]);
    assert.equal(await setDigest(source, [3, 0, 2]), await setDigest(sourceOf([1, 9, 3, 4]), [0, 2, 3]));
    assert.notEqual(await setDigest(source, [3, 0, 2]), await setDigest(source, [3, 0, 1]));
  });
});
