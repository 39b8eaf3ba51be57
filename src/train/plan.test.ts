import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { augment, drawAugmentation, paperAugmentation } from '../data/augment.js';
import { resolveLoaderOptions } from '../data/loaderOptions.js';
import type { ImageSource } from '../data/sources.js';
import { drawView } from '../data/view.js';
import { stream } from '../tensor/random.js';
import { parseTrainConfig } from './config.js';
import { loaderOptionsOf, stepConfigOf, viewsOf } from './plan.js';

const parse = (keys: object) =>
  parseTrainConfig(
    { name: 'a', data: { source: 'p' }, crops: {}, model: {}, batchSize: 8, epochs: 20, ...keys },
    'a.yaml',
  );

describe('viewsOf', () => {
  it('returns the two views of the paper: blur on the first, solarization on the second', () => {
    const common = { size: 224, cells: 7, scale: [0.08, 1], aspect: [3 / 4, 4 / 3] };
    assert.deepEqual(viewsOf(parse({})), [
      { ...common, augmentation: paperAugmentation[0] },
      { ...common, augmentation: paperAugmentation[1] },
    ]);
  });

  it('gives bit-identical views with the defaults as before augmentations were configurable', () => {
    const config = parse({ crops: { small: { count: 2 } }, loss: { numMatches: [9, 4] } });
    const [draws, changed] = [createHash('sha256'), createHash('sha256')];
    for (let i = 0; i < 64; i++) {
      for (const [v, spec] of viewsOf(config).entries()) {
        const { crop, augmentation } = drawView(stream(7, 'sample', 0, i, v), { width: 500, height: 375 }, spec);
        const { jitter, greyscale, blurSigma = null, solarize } = augmentation;
        const order = jitter.map(({ operation, factor }) => [operation, factor]);
        const { top, left, height, width, flip } = crop;
        draws.update(
          JSON.stringify([top, left, height, width, flip, order, greyscale, blurSigma, solarize !== undefined]),
        );
        const pixels = Uint8Array.from({ length: 24 * 16 * 3 }, (_, k) => (k * k * 31 + k * 7 + i) & 255);
        augment(pixels, 24, 16, augmentation);
        changed.update(pixels);
      }
    }
    // Recorded with the earlier code.
    assert.equal(draws.digest('hex'), 'cc653c2f8fd7c2efdf19ead7c9274718beaf6cc13e4d33e819daf4662126a0f1');
    assert.equal(changed.digest('hex'), '969547680a906e6f7815db9aa8a868b932772a06adee8df89fca276485e69f58');
  });

  it('applies the configuration to even and odd views, as one value for both or two', () => {
    const views = viewsOf(
      parse({
        augmentation: {
          flip: [0, 1],
          jitter: { probability: 1, brightness: [0.1, 0.9], hue: 0 },
          greyscale: 0.7,
          blur: { probability: 0.3, sigma: [1, 3] },
          solarize: { probability: [0.4, 0], threshold: 200 },
        },
      }),
    );
    const common = { jitterProbability: 1, greyscaleProbability: 0.7, blurProbability: 0.3, blurSigma: [1, 3] };
    const strengths = { contrast: 0.4, saturation: 0.2, hue: 0 };
    assert.deepEqual(
      views.map(({ augmentation }) => augmentation),
      [
        {
          ...{ ...common, flipProbability: 0, solarizeProbability: 0.4, solarizeThreshold: 200 },
          jitterStrength: { ...strengths, brightness: 0.1 },
        },
        {
          ...{ ...common, flipProbability: 1, solarizeProbability: 0, solarizeThreshold: 200 },
          jitterStrength: { ...strengths, brightness: 0.9 },
        },
      ],
    );
  });

  it('changes nothing but the crop if augmentation is off', () => {
    for (const { augmentation } of viewsOf(parse({ augmentation: { enabled: false } }))) {
      const drawn = Array.from({ length: 50 }, (_, i) => drawAugmentation(stream(i), augmentation));
      assert.ok(drawn.every((one) => one.jitter.length === 0 && !one.greyscale && one.blurSigma === undefined));
      assert.ok(drawn.every(({ solarize }) => solarize === undefined));
      assert.equal(augmentation.flipProbability, 0);
    }
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
      views.map(({ augmentation }) => augmentation.blurProbability),
      [1, 0.1, 1, 0.1, 1],
    );
  });

  it('uses the cells of stride 32 for a ResNet without dilation', () => {
    const views = viewsOf(
      parse({ model: { architecture: 'resnet50' }, crops: { size: 96 }, loss: { numMatches: [9, 4] } }),
    );
    assert.equal(views[0]!.cells, 3);
  });
});

describe('stepConfigOf', () => {
  it("uses the weight decay of the paper's optimizer by default", async () => {
    // AdamW keeps two state tensors for each parameter, LARS one.
    assert.deepEqual(stepConfigOf(parse({}), undefined).optimizer.slots, ['exp_avg', 'exp_avg_sq']);
    assert.deepEqual(stepConfigOf(parse({ optimizer: { kind: 'lars' } }), undefined).optimizer.slots, ['momentum']);
  });

  it('draws no drop-path decisions for a ResNet, which has none', () => {
    assert.equal(stepConfigOf(parse({}), undefined).dropPath, true);
    assert.equal(stepConfigOf(parse({ model: { architecture: 'resnet18' } }), undefined).dropPath, false);
    assert.equal(stepConfigOf(parse({ model: { dropPath: 0 } }), undefined).dropPath, false);
  });

  it('passes on every switch of the loss, under its name in the paper', () => {
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

  it('prepares three batches ahead, or those of the next run, as far as data.prefetchBytes goes', () => {
    const source = { count: 5000 } as unknown as ImageSource;
    const prefetch = (keys: object, size = 1) =>
      resolveLoaderOptions(loaderOptionsOf(parse(keys), source, { rank: 0, size })).prefetch;
    const data = { source: 'photographs', prefetchBytes: 8 * 2 ** 30 };
    assert.equal(prefetch({ batchSize: 64 }), 3);
    assert.equal(prefetch({ batchSize: 4096 }), 1);
    assert.equal(prefetch({ batchSize: 4096, data }), 3);
    // A rank loads its part alone.
    assert.equal(prefetch({ batchSize: 4096 }, 8), 3);
    assert.equal(prefetch({ batchSize: 64, stepsPerRun: 8 }), 8);
    assert.equal(prefetch({ batchSize: 4096, stepsPerRun: 8 }), 1);
  });

  it('passes the mirroring of flipped grids on to the loader', () => {
    const source = { images: [], read: () => assert.fail() } as unknown as ImageSource;
    for (const mirrorFlippedGrid of [true, false]) {
      assert.equal(
        loaderOptionsOf(parse({ crops: { mirrorFlippedGrid } }), source).mirrorFlippedGrid,
        mirrorFlippedGrid,
      );
    }
  });
});
