import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pixelSubject } from '../subjects/pixelSubject.js';
import { buildResult, type SubjectMeasures } from './buildResult.js';
import { meanFigure } from './figures.js';

const pixels = pixelSubject(new Map([['maps', 32]]));
const sources = [{ ...pixels, name: 'trained' }, pixels];
const top1 = { name: 'top1', label: 'top-1 accuracy', unit: 'share', better: 'higher' } as const;
const measured = (values: readonly number[], items?: readonly string[]): SubjectMeasures => ({
  figures: [meanFigure(top1, values)],
  ...(items && { items }),
});

function resultOf(...measures: SubjectMeasures[]) {
  return buildResult({
    kind: 'knn',
    protocol: '',
    command: [],
    seed: 0,
    options: {},
    data: [],
    items: ['a', 'b', 'd'],
    sources,
    measures,
    began: 0,
  });
}

describe('the result of an evaluation', () => {
  it('has the differences of subjects over the same items', () => {
    const { comparisons, subjects } = resultOf(measured([1, 1, 0], ['a', 'b', 'd']), measured([0, 1, 0]));
    assert.deepEqual(
      comparisons.map(({ difference }) => difference),
      [1 / 3],
    );
    assert.deepEqual(subjects[1]!.perItem, { top1: [0, 1, 0] });
  });

  it('is refused where a subject was measured over other items, or has another number of values', () => {
    const first = measured([1, 1, 0], ['a', 'b', 'd']);
    const message = (count: number, from: string) =>
      new RegExp(
        `^trained was measured on 3 items and pixels on ${count}, which differ from ${from} on: .*run it again$`,
      );
    assert.throws(() => resultOf(first, measured([1, 1, 0], ['a', 'c', 'd'])), {
      name: 'DataError',
      message: message(3, 'b'),
    });
    assert.throws(() => resultOf(first, measured([1, 1], ['a', 'b'])), { message: message(2, 'd') });
    assert.throws(() => resultOf(first, measured([1, 1, 0, 1], ['a', 'b', 'd', 'e'])), { message: message(4, 'e') });
    assert.throws(() => resultOf(first, measured([1, 1])), {
      name: 'RangeError',
      message: 'pixels has 2 values of top1 for 3 items',
    });
  });
});
