import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tinyResult, trained } from '../../../test/support/tinyResults.js';
import type { EvaluationResult } from '../../evaluate/result/schema.js';
import { requireSame } from './requireSame.js';

const first = tinyResult([trained()]);
const compare = (other: Partial<EvaluationResult>, seed = 1, result = first) =>
  requireSame('knn', [
    { cell: { seed: 1 }, folder: 'a', result },
    { cell: { seed }, folder: 'b', result: { ...result, ...other } },
  ]);

describe('requireSame', () => {
  it('takes results of the same images and options, wherever the images are', () => {
    compare({ data: first.data.map((data) => ({ ...data, source: 'elsewhere' })), options: { k: 3, crop: 96 } });
    // Results of older versions have no digests of contents.
    compare({ data: first.data.map((data) => ({ ...data, contents: 'x' })) });
  });

  it('takes other protocols and rates, which may follow from the network', () => {
    const segmentation = { ...first, kind: 'segmentation' as const, options: { learningRate: 0.01 } };
    compare({ protocol: 'x', options: { learningRate: 0.001 } }, 1, segmentation);
  });

  it('takes the same items in another order, which a seed may decide', () => {
    compare({ items: first.items!.toReversed() });
    const { items: _, ...printed } = first;
    requireSame('knn', [
      { cell: { seed: 1 }, folder: 'a', result: printed },
      { cell: { seed: 2 }, folder: 'b', result: printed },
    ]);
  });

  it('takes other seeds where they draw no items, and seeds that are those of training', () => {
    const matches = { ...first, kind: 'matches' as const };
    compare({ seed: 7 });
    compare({}, 2, matches);
    compare({ seed: 2 }, 2, matches);
    for (const [evaluated, trained] of [
      [2, 1],
      [0, 2],
    ]) {
      assert.throws(() => compare({ seed: evaluated! }, trained!, matches), {
        message: new RegExp(`with other options in b than in a \\(seed is ${evaluated} and 1\\);.*same flags and seed`),
      });
    }
  });

  it('refuses others, and says what differs', () => {
    const contents = (text: string) => first.data.map((each) => ({ ...each, contents: text }));
    const result = { ...first, data: contents('a') };
    const data = result.data.map((each, i) => (i === 0 ? { ...each, images: 4000 } : each));
    for (const [other, message] of [
      [
        { items: first.items!.map((name) => `other/${name}`) },
        /^evaluation knn was made on other images in b than in a; make it again/,
      ],
      [{ data: result.data.slice(1) }, /on other images in b than in a;/],
      [{ data: contents('b') }, /on other images in b than in a \(files of other contents .*: train, test\);/],
      [{ data }, /on other images in b than in a \(4,000 and 8 train images\);/],
      [{ options: { k: 5 }, protocol: 'x' }, /with other options in b than in a \(k is 5 and 3\);/],
      [{ options: { k: 3, augmented: true } }, /\(augmented is true and absent\)/],
    ] as const) {
      assert.throws(() => compare(other, 1, result), { name: 'ExperimentError', message });
    }
  });
});
