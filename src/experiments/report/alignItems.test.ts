import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { random, tinyResult, trained } from '../../../test/support/tinyResults.js';
import { alignItems } from './alignItems.js';

describe('alignItems', () => {
  const result = tinyResult([trained(), random]);
  const order = [3, 1, 4, 0, 5, 7, 2, 6];
  const shuffled = {
    ...result,
    items: order.map((place) => result.items![place]!),
    subjects: result.subjects.map((subject) => ({
      ...subject,
      perItem: { top1: order.map((place) => subject.perItem!['top1']![place]!) },
    })),
  };

  it('puts the values of all subjects in the order of other items', () => {
    assert.deepEqual(alignItems(shuffled, result.items), result);
    assert.deepEqual(alignItems(result, shuffled.items), shuffled);
    assert.equal(alignItems(result, result.items), result);
  });

  it('leaves results of other items, and those that lack them', () => {
    assert.equal(alignItems(result, ['0.jpg']), result);
    const { items: _, ...printed } = result;
    assert.equal(alignItems(printed, result.items), printed);
    assert.equal(alignItems(result, undefined), result);
  });
});
