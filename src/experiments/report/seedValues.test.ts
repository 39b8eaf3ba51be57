import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ResultSubject } from '../../evaluate/result/schema.js';
import { seedValues } from './seedValues.js';

const subject = (value: number | null, perItem?: (number | null)[]): ResultSubject => ({
  ...{ name: 'trained', model: 'a', digest: 'a' },
  figures: [{ name: 'f', label: 'f', unit: 'number', better: 'higher', value, interval: [1, 1 + 2 * 1.959964] }],
  ...(perItem && { perItem: { f: perItem } }),
});

describe('values of seeds', () => {
  it('have the values of the items of a mean', () => {
    const items = [
      [0, 1, 2],
      [1, 1, 4],
    ];
    assert.deepEqual(
      seedValues(
        items.map((own) => subject(own.reduce((a, b) => a + b) / 3, own)),
        'f',
      ),
      { values: [1, 2], perItem: items },
    );
  });

  it('have variances over items for another statistic of them, such as their median, and without their values', () => {
    for (const own of [[0, 1, 20], [0, null, 2], undefined]) {
      const found = seedValues([subject(1, own)], 'f');
      assert.deepEqual([found!.values, found!.perItem], [[1], undefined]);
      assert.ok(Math.abs(found!.itemVariances![0]! - 1) < 1e-9);
    }
  });

  it('are none if a seed has no value', () => {
    assert.equal(seedValues([subject(1), subject(null)], 'f'), undefined);
    assert.equal(seedValues([subject(1)], 'g'), undefined);
  });
});
