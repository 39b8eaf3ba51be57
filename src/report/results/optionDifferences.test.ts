import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tinyResult, trained } from '../../../test/support/tinyResults.js';
import type { EvaluationResult } from '../../evaluate/result/schema.js';
import { optionDifferences } from './optionDifferences.js';

type Kind = EvaluationResult['kind'];
const of = (kind: Kind, options: EvaluationResult['options'], ...flags: string[]) =>
  tinyResult([trained()], { kind, options, command: ['evaluate', kind, ...flags] });
const names = (a: EvaluationResult, b: EvaluationResult) => optionDifferences(a, b).map(({ name }) => name);

describe('optionDifferences', () => {
  it('has options with other values, and those that one result lacks', () => {
    const a = of('matches', { augmented: true, pairs: 4, views: [{ kind: 'x' }], steps: 1 });
    const b = of('matches', { augmented: false, pairs: 4, views: [{ kind: 'x' }] });
    assert.deepEqual(optionDifferences(a, b), [
      { name: 'augmented', values: ['true', 'false'] },
      { name: 'steps', values: ['1', 'absent'] },
    ]);
    assert.deepEqual(names(b, a), ['augmented', 'steps']);
  });

  it('takes the distance of results before there was a choice for l2', () => {
    const old = of('matches', {});
    assert.deepEqual(names(old, of('matches', { distance: 'l2' })), []);
    assert.deepEqual(optionDifferences(of('homography', { distance: 'cosine' }), old), [
      { name: 'distance', values: ['"cosine"', '"l2"'] },
    ]);
  });

  it('has the seed where it draws crops or views', () => {
    const seeds = (kind: Kind, options: EvaluationResult['options'] = {}) =>
      optionDifferences({ ...of(kind, options), seed: 3 }, { ...of(kind, options), seed: 0 });
    const difference = [{ name: 'seed', values: ['3', '0'] }];
    assert.deepEqual(seeds('matches'), difference);
    assert.deepEqual(seeds('homography', { views: [{ kind: 'rotation' }, { kind: 'perspective' }] }), difference);
    for (const others of [
      seeds('homography'),
      seeds('homography', { views: [{ kind: 'rotation' }] }),
      ...(['knn', 'linear', 'segmentation', 'retrieval'] as const).map((kind) => seeds(kind)),
    ]) {
      assert.deepEqual(others, []);
    }
  });

  it('has the seed where it draws the images that are trained on or searched, and not where all of them are', () => {
    const set = (role: 'train' | 'test' | 'images', images: number, skipped = 0) => ({
      ...{ role, source: role, fingerprint: '1000 images, sha256 12', images },
      skipped: Array.from({ length: skipped }, (_, i) => ({ name: `${i}.jpg`, reason: 'no picture' })),
    });
    const seeds = (kind: Kind, data: EvaluationResult['data']) => {
      const result = { ...of(kind, {}), data };
      return [optionDifferences({ ...result, seed: 1 }, result), optionDifferences({ ...result, seed: 2 }, result)];
    };
    for (const kind of ['knn', 'linear', 'retrieval'] as const) {
      assert.deepEqual(seeds(kind, [set('train', 99, 1), set('test', 8)]), [
        [],
        [{ name: 'seed', values: ['2', '1'] }],
      ]);
      assert.deepEqual(seeds(kind, [set('train', 997, 3), set('test', 8)]), [[], []]);
    }
    assert.equal(seeds('retrieval', [set('images', 99)])[1]!.length, 1);
  });

  it('leaves out what was found', () => {
    const found = (value: number) => ({ chance: { a: value }, chosenLearningRates: value, duplicates: value });
    assert.deepEqual(names(of('linear', found(1)), of('linear', { ...found(2), unanswerable: 3 })), []);
  });

  it('leaves out what follows from the model, unless a flag gave it', () => {
    const sizes = (crop: number) => ({ crop, resize: crop + 20 });
    for (const kind of ['knn', 'linear', 'retrieval'] as const) {
      const a = of(kind, sizes(96));
      assert.deepEqual(names(a, of(kind, sizes(128))), []);
      assert.deepEqual(names(a, of(kind, sizes(128), '--crop', '128')), ['crop', 'resize']);
      assert.deepEqual(names(a, of(kind, sizes(128), '--crop=128')), ['crop', 'resize']);
      assert.deepEqual(names(a, of(kind, { crop: 96, resize: 160 }, '--resize=160')), ['resize']);
    }
    assert.deepEqual(names(of('matches', { crop: 96 }), of('matches', { crop: 128 })), []);
    assert.deepEqual(names(of('segmentation', { crop: 96 }), of('segmentation', { crop: 128 })), ['crop']);
    const headRate = (learningRate: number, ...flags: string[]) => of('segmentation', { learningRate }, ...flags);
    assert.deepEqual(names(headRate(0.01), headRate(0.001)), []);
    assert.deepEqual(names(headRate(0.01), headRate(0.001, '--lr', '0.001')), ['learningRate']);
    assert.deepEqual(names(of('matches', { top: 20 }), of('matches', { top: 9 })), []);
    const rates = (rate: number) => ({ learningRates: [rate] });
    assert.deepEqual(names(of('linear', rates(0.3)), of('linear', rates(0.02))), []);
    assert.deepEqual(names(of('linear', rates(0.3)), of('linear', rates(0.1), '--lr=0.1')), ['learningRates']);
  });
});
