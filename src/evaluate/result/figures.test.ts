import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bootstrapInterval } from '../bootstrap.js';
import { compareFigures, meanFigure } from './figures.js';

const about = { name: 'share', label: 'share', unit: 'share', better: 'higher' } as const;
const a = [1, 0, 1, 1, 0, 1, 1, 1];
const b = [1, 0, 0, 1, 0, 1, 0, 1];

describe('compareFigures', () => {
  it('gives means with the intervals of bootstrapInterval, and paired differences', () => {
    const subjects = [
      { name: 'trained', figures: [meanFigure(about, a)] },
      { name: 'random', figures: [meanFigure(about, b)] },
    ];
    const { figures, comparisons } = compareFigures(subjects, 8, { seed: 5 });
    assert.deepEqual([figures[0]![0]!.value, figures[1]![0]!.value], [0.75, 0.5]);
    assert.deepEqual(figures[0]![0]!.interval, bootstrapInterval(a, { seed: 5 }));
    const difference = a.map((value, i) => value - b[i]!);
    const [comparison] = comparisons;
    assert.deepEqual(
      { ...comparison, interval: undefined },
      {
        figure: 'share',
        subject: 'trained',
        baseline: 'random',
        difference: 0.25,
        interval: undefined,
      },
    );
    const expected = bootstrapInterval(difference, { seed: 5 });
    comparison!.interval.forEach((bound, i) => {
      assert.ok(Math.abs(bound! - expected[i]!) < 1e-12);
    });
  });

  it('has null for figures that do not exist, and leaves such resamples out of the interval', () => {
    const never = { ...about, over: () => Number.NaN };
    const seldom = { ...about, over: (indices: Uint32Array) => (indices[0] === 0 ? Number.NaN : 1) };
    const { figures } = compareFigures([{ name: 'trained', figures: [never, { ...seldom, name: 'seldom' }] }], 8, {
      seed: 1,
    });
    assert.deepEqual([figures[0]![0]!.value, figures[0]![0]!.interval], [null, [null, null]]);
    assert.deepEqual(figures[0]![1]!.interval, [1, 1]);
  });

  it('has no intervals for a single item', () => {
    const subjects = [
      { name: 'trained', figures: [meanFigure(about, [1])] },
      { name: 'random', figures: [meanFigure(about, [0])] },
    ];
    const { figures, comparisons } = compareFigures(subjects, 1, { seed: 5 });
    assert.deepEqual([figures[0]![0]!.value, figures[0]![0]!.interval], [1, [null, null]]);
    assert.deepEqual([comparisons[0]!.difference, comparisons[0]!.interval], [1, [null, null]]);
    assert.throws(() => compareFigures(subjects, 0, { seed: 5 }), RangeError);
  });
});
