import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { digestAt, digestsOf, isChange, watched } from './imageContents.js';

/** A source whose images are texts; undefined for one that cannot be read. */
function sourceOf(...texts: (string | undefined)[]) {
  return {
    texts,
    count: texts.length,
    nameOf: (index: number) => `${index}.png`,
    async read(index: number) {
      const text = texts[index];
      if (text === undefined) throw new Error('permission denied');
      return Buffer.from(text);
    },
  };
}

describe('a watched source', () => {
  it('reads images as they are, and those that cannot be read are errors as before', async () => {
    const source = sourceOf('a', undefined);
    const own = watched(source);
    for (let time = 0; time < 2; time++) {
      assert.equal(String(await own.read(0)), 'a');
      await assert.rejects(own.read(1), /^Error: permission denied$/);
    }
    assert.equal(watched(own), own);
  });

  it('refuses an image that is another one than before, and one that could not be read before, or cannot any more', async () => {
    const source = sourceOf('a', undefined, 'c', 'd');
    const first = watched(source);
    await Promise.allSettled([0, 1, 2, 3].map((index) => first.read(index)));
    source.texts.splice(0, 3, 'b', 'b', undefined);
    // Another watcher of the same source knows what the first has read.
    const second = watched(source);
    for (const [index, text] of [
      'has changed since it was first read',
      'has changed since it was first read',
      'can no longer be read (permission denied)',
    ].entries()) {
      await assert.rejects(second.read(index), (error: Error) => {
        assert.ok(isChange(error));
        assert.equal(error.message, `${index}.png ${text}; leave the images as they are, and run the command again`);
        return true;
      });
    }
    assert.equal(String(await second.read(3)), 'd');
    source.texts[0] = 'a';
    assert.equal(String(await second.read(0)), 'a');
    // It is another source, although its names are the same.
    assert.equal(String(await watched(sourceOf('b')).read(0)), 'b');
  });

  it('has digests in memory that threads share', async () => {
    const source = sourceOf('a', 'a', 'b');
    assert.equal(digestAt(digestsOf(source), 0), undefined);
    await Promise.all([0, 1, 2].map((index) => watched(source).read(index)));
    const digests = digestsOf(source);
    assert.ok(digests.buffer instanceof SharedArrayBuffer);
    assert.deepEqual(digestAt(digests, 0), digestAt(digests, 1));
    assert.notDeepEqual(digestAt(digests, 0), digestAt(digests, 2));
  });
});
