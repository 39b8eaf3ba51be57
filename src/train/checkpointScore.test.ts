import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createCheckpointScore, metricProblem, modeWarning } from './checkpointScore.js';

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

describe('the metric of the best checkpoint', () => {
  const weights = { alpha: 0.75, criterion: 'vicreg', invariance: 25, variance: 25, covariance: 1 };
  const plain = { data: { labels: 'none' }, loss: weights };
  const usable = 'l, inv_l, var_l, cov_l, minv_l, mvar_l, mcov_l, stdr, stde, stdm, corr, core, corm';

  it('is refused if it says nothing about quality, with those that the run can use', () => {
    for (const name of ['lr', 'epoch', 'images_per_s', 'loss_scale', 'wait_share', 'grad_norm']) {
      assert.equal(
        metricProblem(name, plain),
        `"${name}" says nothing about the quality of a checkpoint; use one of ${usable}`,
      );
    }
  });

  it('is refused if this configuration does not log it, with the reason', () => {
    const problem = (name: string, loss: object = {}) =>
      metricProblem(name, { ...plain, loss: { ...weights, ...loss } });
    assert.equal(
      problem('knn_top1'),
      `"knn_top1" is not logged by this run: there is no probe.knn; change that, or use one of ${usable}`,
    );
    assert.match(problem('probe_top5')!, /: there is no probe\.linear;/);
    assert.match(problem('top1')!, /: data\.labels is none;/);
    assert.match(problem('nce_l')!, /: loss\.criterion is vicreg;/);
    assert.match(
      problem('minv_l', { alpha: 1 })!,
      /: there is no local loss with loss\.alpha 1; .* l, inv_l, var_l, cov_l, stdr, stde, corr, core$/,
    );
    assert.match(problem('stde', { alpha: 0 })!, /: there is no global loss with loss\.alpha 0;/);
    assert.match(problem('mvar_l', { local: { variance: 0 } })!, /: loss\.local\.variance is 0;/);
    assert.match(problem('mvar_l', { variance: 0 })!, /: loss\.variance is 0;/);
    assert.equal(problem('mvar_l', { variance: 0, local: { variance: 1 } }), undefined);
    assert.equal(metricProblem('knn_top1', { ...plain, probe: { knn: {} } }), undefined);
    assert.equal(metricProblem('top5', { ...plain, data: { labels: 'folders' } }), undefined);
  });

  it('has a warning for a mode that keeps the worst', () => {
    assert.equal(
      modeWarning({ metric: 'knn_top1', mode: 'min' }),
      'checkpoints.best.mode is min, and the largest knn_top1 is the best: the worst checkpoint is kept as the best one. ' +
        'Usual: --set checkpoints.best.mode=max',
    );
    assert.match(modeWarning({ metric: 'l', mode: 'max' })!, /the smallest l is the best/);
    for (const [metric, mode] of [
      ['knn_top1', 'max'],
      ['l', 'min'],
      ['lr', 'max'],
    ] as const) {
      assert.equal(modeWarning({ metric, mode }), undefined);
    }
  });
});
