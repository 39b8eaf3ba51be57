import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createCheckpointScore } from './checkpointScore.js';

describe('the score of a checkpoint', () => {
  it('is the mean over the steps since the last scheduled one', () => {
    const scores = createCheckpointScore({ metric: 'l', mode: 'min' }, 3);
    const seen = [5, 4, 3, 9, 9, 3].map((l, i) => {
      scores.observe({ step: i + 1, l });
      return scores.score()?.value;
    });
    assert.deepEqual(seen, [5, 4.5, 4, 9, 9, 7]);
    assert.deepEqual(scores.score(), { metric: 'l', mode: 'min', value: 7 });
  });

  it('is absent if nothing of that name was logged since', () => {
    const scores = createCheckpointScore({ metric: 'knn_top1', mode: 'max' }, 2);
    scores.observe({ step: 2, l: 1 });
    assert.equal(scores.score(), undefined);
    scores.observe({ step: 2, knn_top1: 0.25 });
    assert.equal(scores.score()?.value, 0.25);
    scores.observe({ step: 3, l: 1 });
    assert.equal(scores.score(), undefined);
  });
});
