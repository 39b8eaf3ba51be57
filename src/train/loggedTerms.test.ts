import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drawRun } from './curves.js';
import { COMPARED_TERMS, isRunFigure, LOGGED_TERMS, PANELS, type Term, tensorboardTag } from './loggedTerms.js';

const terms = Object.keys(LOGGED_TERMS) as Term[];

describe('the logged terms of a run', () => {
  it('are all drawn in the curves, except for those that describe progress', async () => {
    const means = Object.fromEntries(terms.map((term, i) => [term, i]));
    const svg = await drawRun({ name: 'run', points: [1, 2].map((step) => ({ step, means })) });
    for (const term of terms) assert.equal(svg.includes(`>${term}<`), !isRunFigure(term), term);
    for (const { title } of Object.values(PANELS)) assert.ok(svg.includes(`>${title}<`), title);
  });

  it('are all compared, with the same exceptions', () => {
    assert.deepEqual(
      terms.filter((term) => !COMPARED_TERMS.includes(term)),
      ['epoch', 'lr', 'images_per_s', 'loss_scale', 'overflow', 'wait_share', 'exchange_share'],
    );
    for (const term of ['corr', 'core', 'grad_norm'] as const) assert.ok(COMPARED_TERMS.includes(term), term);
  });

  it('have a direction in which they are better, except for those that say nothing about quality', () => {
    const of = (better: 'min' | 'max' | undefined) => terms.filter((term) => LOGGED_TERMS[term].better === better);
    const accuracies = ['top1', 'top5', 'probe_top1', 'probe_top5', 'knn_top1', 'knn_top5'];
    assert.deepEqual(of('max'), ['stdr', 'stde', 'stdm', ...accuracies]);
    assert.deepEqual(of(undefined), ['grad_norm', ...terms.filter(isRunFigure)]);
    assert.deepEqual(
      of('min').filter((term) => !term.endsWith('_l')),
      ['l', 'corr', 'core', 'corm'],
    );
  });

  it('keep their tags in TensorBoard', () => {
    const expected: Partial<Record<Term, string>> = {
      l: 'loss/l',
      mnce_l: 'loss/mnce_l',
      cls_l: 'loss/cls_l',
      probe_l: 'loss/probe_l',
      stdr: 'monitor/stdr',
      core: 'monitor/core',
      grad_norm: 'monitor/grad_norm',
      top5: 'accuracy/top5',
      knn_top1: 'accuracy/knn_top1',
      epoch: 'run/epoch',
      wait_share: 'run/wait_share',
    };
    for (const [term, tag] of Object.entries(expected)) assert.equal(tensorboardTag(term), tag);
    // By the rule that tags had before the terms were declared: curves of old and new runs have the same tags.
    for (const term of terms) {
      const group = /(^|_)l$/.test(term)
        ? 'loss'
        : isRunFigure(term)
          ? 'run'
          : /top\d$/.test(term)
            ? 'accuracy'
            : 'monitor';
      assert.equal(tensorboardTag(term), `${group}/${term}`);
    }
    assert.equal(tensorboardTag('of_another_version'), 'monitor/of_another_version');
  });
});
