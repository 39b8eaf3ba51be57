import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { batchesOf, GROUP_IMAGES, shardCount, shardName, shardRange, sharesOf } from './shardPlan.js';

const upTo = (max: number) => fc.integer({ min: 1, max });

describe('shards', () => {
  it('hold every image once, in order, in whole groups, no more than wanted, and none is empty', () => {
    fc.assert(
      fc.property(upTo(5000), upTo(9), upTo(2000), (images, processes, shardImages) => {
        const shards = shardCount(images, processes, shardImages);
        assert.ok(shards % processes === 0 || shards === Math.ceil(images / GROUP_IMAGES));
        let next = 0;
        for (let shard = 0; shard < shards; shard++) {
          const { first, end } = shardRange(images, shards, shard);
          assert.equal(first, next);
          assert.ok(first % GROUP_IMAGES === 0 || first === images);
          assert.ok(end > first && end - first <= Math.max(shardImages, GROUP_IMAGES));
          next = end;
        }
        assert.equal(next, images);
      }),
    );
  });

  it('belong to one process each, also if another number of processes goes on', () => {
    fc.assert(
      fc.property(upTo(40), upTo(12), (shards, count) => {
        const all = Array.from({ length: count }, (_, index) => sharesOf(shards, { index, count })).flat();
        assert.deepEqual(
          all,
          Array.from({ length: shards }, (_, shard) => shard),
        );
      }),
    );
  });

  it('have numbers of equal length in names of files', () => {
    assert.equal(shardName(3, 4), '3');
    assert.equal(shardName(3, 10), '03');
    assert.equal(shardName(12, 100), '012');
  });
});

describe('batches', () => {
  it('are those of each shard, in order', () => {
    fc.assert(
      fc.property(upTo(300), upTo(9), upTo(20), (images, shards, batch) => {
        const ranges = Array.from({ length: shards }, (_, shard) => shardRange(images, shards, shard));
        const { batches, batchAt } = batchesOf(ranges, batch);
        const found = Array.from({ length: batches }, (_, item) => batchAt(item));
        assert.deepEqual(
          found.flatMap(({ members }) => members),
          Array.from({ length: images }, (_, image) => image),
        );
        for (const { range, members } of found) {
          assert.ok(members.length > 0 && members.length <= batch);
          assert.ok(members.every((image) => image >= range.first && image < range.end));
        }
      }),
    );
  });
});
