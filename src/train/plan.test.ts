import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ImageSource } from '../data/sources.js';
import { parseTrainConfig } from './config.js';
import { loaderOptionsOf, stepConfigOf, viewsOf } from './plan.js';

const parse = (keys: object) =>
  parseTrainConfig(
    { name: 'a', data: { source: 'p' }, crops: {}, model: {}, batchSize: 8, epochs: 20, ...keys },
    'a.yaml',
  );

describe('viewsOf', () => {
  it('gives the two views of the paper: blur on the first, solarization on the second', () => {
    const common = { size: 224, cells: 7, scale: [0.08, 1], aspect: [3 / 4, 4 / 3] };
    assert.deepEqual(viewsOf(parse({})), [
      { ...common, blurProbability: 1, solarizeProbability: 0 },
      { ...common, blurProbability: 0.1, solarizeProbability: 0.2 },
    ]);
  });

  it('adds small views, whose blur and solarization alternate within their own group', () => {
    const views = viewsOf(parse({ crops: { scale: [0.4, 1], small: { count: 3 } } }));
    assert.deepEqual(
      views.map(({ size, cells }) => [size, cells]),
      [
        [224, 7],
        [224, 7],
        [96, 3],
        [96, 3],
        [96, 3],
      ],
    );
    assert.deepEqual(views[2]!.scale, [0.08, 0.4]);
    assert.deepEqual(
      views.map(({ blurProbability }) => blurProbability),
      [1, 0.1, 1, 0.1, 1],
    );
  });

  it('gives a ResNet that dilates nothing the cells of stride 32', () => {
    const views = viewsOf(
      parse({ model: { architecture: 'resnet50' }, crops: { size: 96 }, loss: { numMatches: [9, 4] } }),
    );
    assert.equal(views[0]!.cells, 3);
  });
});

describe('stepConfigOf', () => {
  it('decays as the optimizer of the paper where the configuration does not say', async () => {
    // AdamW keeps two state tensors for each parameter, LARS one.
    assert.deepEqual(stepConfigOf(parse({}), undefined).optimizer.slots, ['exp_avg', 'exp_avg_sq']);
    assert.deepEqual(stepConfigOf(parse({ optimizer: { kind: 'lars' } }), undefined).optimizer.slots, ['momentum']);
  });

  it('asks for no drop-path decisions where a ResNet takes none', () => {
    assert.equal(stepConfigOf(parse({}), undefined).dropPath, true);
    assert.equal(stepConfigOf(parse({ model: { architecture: 'resnet18' } }), undefined).dropPath, false);
    assert.equal(stepConfigOf(parse({ model: { dropPath: 0 } }), undefined).dropPath, false);
  });

  it('hands every switch of the loss on, under the name that the paper has for it', () => {
    const weights = { invariance: 25, variance: 25, covariance: 1 };
    const defaults = {
      alpha: 0.75,
      numMatches: [20, 4],
      featureMatches: 'all',
      matches: 'both',
      weights,
      localWeights: weights,
    };
    const cases: readonly (readonly [object, object])[] = [
      [{}, {}],
      [{ alpha: 0.9 }, { alpha: 0.9 }],
      [{ numMatches: [10, 5] }, { numMatches: [10, 5] }],
      [{ featureMatches: 'top' }, { featureMatches: 'top' }],
      [{ matches: 'location' }, { matches: 'location' }],
      [{ matches: 'feature' }, { matches: 'feature' }],
      [{ variance: 0 }, { weights: { ...weights, variance: 0 }, localWeights: { ...weights, variance: 0 } }],
      [
        { invariance: 10, local: { covariance: 0 } },
        { weights: { ...weights, invariance: 10 }, localWeights: { invariance: 10, variance: 25, covariance: 0 } },
      ],
      [{ criterion: 'simclr' }, { simclr: { temperature: 0.15 } }],
      [
        { criterion: 'simclr', alpha: 1, temperature: 0.3 },
        { alpha: 1, simclr: { temperature: 0.3 } },
      ],
    ];
    for (const [loss, expected] of cases) {
      assert.deepEqual(stepConfigOf(parse({ loss }), undefined).loss, { ...defaults, ...expected });
    }
  });

  it('makes fewer batches ahead the larger they are, and always those of the next run', () => {
    const source = { images: [], read: () => assert.fail() } as unknown as ImageSource;
    const prefetch = (keys: object) => loaderOptionsOf(parse(keys), source).prefetch;
    assert.equal(prefetch({ batchSize: 64 }), 3);
    assert.equal(prefetch({ batchSize: 512 }), 1);
    assert.equal(prefetch({ batchSize: 4096 }), 1);
    assert.equal(prefetch({ batchSize: 64, stepsPerRun: 8 }), 8);
  });

  it('hands the mirroring of flipped grids on to the loader', () => {
    const source = { images: [], read: () => assert.fail() } as unknown as ImageSource;
    for (const mirrorFlippedGrid of [true, false]) {
      assert.equal(
        loaderOptionsOf(parse({ crops: { mirrorFlippedGrid } }), source).mirrorFlippedGrid,
        mirrorFlippedGrid,
      );
    }
  });
});
