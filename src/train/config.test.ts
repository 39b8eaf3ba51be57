import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse, stringify } from 'yaml';
import { convNextConfigs } from '../nn/convnext.js';
import { resNetConfigs } from '../nn/resnet.js';
import { backboneOf, ConfigError, parseRecordedConfig, parseTrainConfig } from './config.js';

/** The keys that the documentation calls required, and no other. */
const minimal = { name: 'a', data: { source: 'photos' }, batchSize: 8, epochs: 20 };
const custom = { architecture: 'custom', depths: [1, 1], widths: [8, 16] };

const problem = (keys: object) => {
  try {
    parseTrainConfig({ ...minimal, ...keys }, 'x.yaml');
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.message;
  }
  assert.fail('the configuration was accepted');
};

describe('the configuration', () => {
  it("has the paper's defaults", () => {
    const config = parseTrainConfig({ ...minimal, batchSize: 384, epochs: 400 }, 'x.yaml');
    assert.deepEqual(config.loss, {
      alpha: 0.75,
      numMatches: [20, 4],
      featureMatches: 'all',
      matches: 'both',
      criterion: 'vicreg',
      temperature: 0.15,
      invariance: 25,
      variance: 25,
      covariance: 1,
    });
    assert.deepEqual(config.optimizer, {
      kind: 'adamw',
      baseLr: 0.00075,
      weightDecay: 0.05,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      momentum: 0.9,
      eta: 0.001,
    });
    assert.deepEqual(config.crops, { size: 224, scale: [0.08, 1], mirrorFlippedGrid: true });
    assert.deepEqual(config.model.expander, [8192, 8192, 8192]);
    assert.deepEqual(config.model.localProjector, [512, 512, 512]);
    assert.deepEqual(config.augmentation, {
      enabled: true,
      flip: 0.5,
      jitter: { probability: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 },
      greyscale: 0.2,
      blur: { probability: [1, 0.1], sigma: [0.1, 2] },
      solarize: { probability: [0, 0.2], threshold: 128 },
    });
    assert.equal(config.model.dropPath, 0.1);
    assert.equal(config.warmupEpochs, 10);
    assert.equal(config.endLrRatio, 0.001);
    assert.equal(config.data.labels, 'none');
    assert.deepEqual(config.checkpoints, { every: 200, keep: 2, best: { metric: 'l', mode: 'min' } });
    assert.deepEqual(config.alarm, { collapse: { threshold: 0.2, steps: 50 } });
  });

  const refused: Record<string, readonly [object, RegExp]> = {
    'an unknown key at the top': [{ epoch: 3 }, /^x\.yaml is not a valid .*\n {2}\(top level\): .*"epoch"/],
    'an unknown key inside a group': [{ optimizer: { lr: 1 } }, /\n {2}optimizer: .*"lr"/],
    'a misspelt key at the top': [{ batchsize: 3 }, /\(top level\): "batchsize" is no key; did you mean batchSize\?$/],
    'a misspelt key inside a group': [
      { crops: { small: { counts: 2, count: 6 } } },
      /crops\.small: "counts" is no key; did you mean count\?$/,
    ],
    'a key spelt as in Python': [
      { optimizer: { weight_decay: 0.1 } },
      /optimizer: "weight_decay" is no key; did you mean weightDecay\?$/,
    ],
    'a key of another group': [{ baseLr: 0.1 }, /"baseLr" is no key; did you mean optimizer\.baseLr\?$/],
    'a key like no other': [{ alarm: { zebra: 1 } }, /alarm: "zebra" is no key; there are collapse$/],
    'a part of a list': [
      { loss: { numMatches: [20, 'x'] } },
      /loss\.numMatches\.1: "x" is an invalid input: expected number/,
    ],
    'a missing key': [{ batchSize: undefined }, /\n {2}batchSize: is missing; expected number$/],
    'a value of another type': [{ epochs: 'ten' }, /\n {2}epochs: "ten" is an invalid input: expected number/],
    'a batch of one, which has no variance': [{ batchSize: 1 }, /\n {2}batchSize: 1 is too small: .*>=2/],
    'an unknown architecture': [
      { model: { architecture: 'resnet51' } },
      /\n {2}model\.architecture: "resnet51" is unknown; use one of convnext_atto,.*, or custom, resnet_basic, resnet_bottleneck with model\.depths/,
    ],
    'an architecture that every object has': [
      { model: { architecture: 'constructor' } },
      /\n {2}model\.architecture: "constructor" is unknown/,
    ],
    'custom without widths': [
      { model: { architecture: 'custom', depths: [1] } },
      /\n {2}model\.architecture: custom requires model\.depths and model\.widths of the same length/,
    ],
    'custom with depths for other stages': [
      { model: { ...custom, depths: [1] } },
      /\n {2}model\.architecture: custom requires .* same length/,
    ],
    'a ResNet whose widths do not double': [
      { model: { architecture: 'resnet_basic', depths: [1, 1], widths: [8, 24] } },
      /\n {2}model\.architecture: a ResNet of basic blocks cannot have the widths 8, 24: each is twice the one before/,
    ],
    'an output stride of a ConvNeXt': [
      { model: { architecture: 'convnext_atto', outputStride: 16 } },
      /\n {2}model\.architecture: "convnext_atto": output stride 16: a ConvNeXt's is 32 and cannot be changed/,
    ],
    'an output stride that no ResNet has': [
      { model: { architecture: 'resnet18', outputStride: 12 } },
      /\n {2}model\.outputStride: 12 /,
    ],
    'depths of a named architecture': [
      { model: { architecture: 'convnext_atto', depths: [1, 1, 1, 1] } },
      /\n {2}model\.architecture: "convnext_atto" has fixed depths and widths; remove model/,
    ],
    'layer scale of a ResNet': [
      { model: { architecture: 'resnet50', layerScale: 1e-6 }, optimizer: { kind: 'lars' } },
      /\n {2}model\.architecture: "resnet50": a ResNet has no layer scale; leave out layerScale/,
    ],
    'layer scale that starts at 0': [{ model: { layerScale: 0 } }, /\n {2}model\.layerScale: /],
    'crops that the stride does not divide': [
      { crops: { size: 100 } },
      /\n {2}crops\.size: 100 is not a multiple of the stride 32; use 96/,
    ],
    'small crops that the stride does not divide': [
      { crops: { small: { count: 2, size: 100 } } },
      /\n {2}crops\.small\.size: 100 is not a multiple of the stride 32; use 96/,
    ],
    'more matches than a small map has cells': [
      { crops: { small: { count: 2 } }, loss: { numMatches: [20, 10] } },
      /\n {2}loss\.numMatches\.1: 10 exceeds the 9 cells of a 96-pixel crop's map; use at most 9/,
    ],
    'a head of one channel': [
      { model: { expander: [64, 1] } },
      /\n {2}model\.expander: it ends with 1 channel, .* use at least 2$/,
    ],
    'a backbone that ends with one channel': [
      { model: { architecture: 'custom', depths: [1, 1], widths: [4, 1] } },
      /\n {2}model\.widths: the last stage has 1 channel, .* use at least 2$/m,
    ],
    'more workers than a loader takes': [{ data: { source: 'p', workers: 100 } }, /\n {2}data\.workers: .*64/],
    'crops larger than a view may be': [{ crops: { size: 8192 } }, /\n {2}crops\.size: .*4096/],
    'a scale upside down': [{ crops: { scale: [0.5, 0.2] } }, /\n {2}crops\.scale: the minimum 0\.5 exceeds/],
    'a scale over the photograph': [{ crops: { scale: [0.5, 1.5] } }, /\n {2}crops\.scale\.1: /],
    'more matches than cells': [
      { crops: { size: 128 } },
      /\n {2}loss\.numMatches\.0: 20 exceeds the 16 cells of a 128-pixel crop's map; use at most 16/,
    ],
    'more matches than cells in the other direction': [
      { loss: { numMatches: [20, 50] } },
      /\n {2}loss\.numMatches\.1: 50 exceeds the 49 cells/,
    ],
    'a micro-batch that does not divide the batch': [
      { batchSize: 96, microBatch: 20 },
      /\n {2}microBatch: 20 does not divide batchSize 96; use 16 or 24/,
    ],
    'a micro-batch over the batch': [
      { batchSize: 96, microBatch: 100 },
      /\n {2}microBatch: 100 does not divide batchSize 96; use 96/,
    ],
    'batch normalisation over single photographs': [
      { model: { architecture: 'resnet18' }, batchSize: 96, microBatch: 1 },
      /\n {2}microBatch: 1 is too small for batch normalisation, which computes its statistics over a micro-batch; use 2/,
    ],
    'several steps a run of several runs a step': [
      { batchSize: 96, microBatch: 32, stepsPerRun: 4 },
      /\n {2}microBatch: 32 needs several runs per step, but stepsPerRun 4 means several steps per run; remove one of them/,
    ],
    'a warm-up as long as the run': [
      { epochs: 10, warmupEpochs: 10 },
      /\n {2}warmupEpochs: 10 must be less than epochs \(10\)/,
    ],
    'a collapse threshold that every run stays under': [
      { alarm: { collapse: { threshold: 1 } } },
      /\n {2}alarm\.collapse\.threshold: /,
    ],
    'a best checkpoint by an unknown rule': [
      { checkpoints: { best: { mode: 'most' } } },
      /\n {2}checkpoints\.best\.mode: .*"min"\|"max"/,
    ],
    'a global loss without a term': [
      { loss: { invariance: 0, variance: 0, covariance: 0, local: { variance: 1 } } },
      /\n {2}loss\.invariance: all weights of the global loss are 0; give one a weight, or set loss\.alpha to 0/,
    ],
    'a local loss without a term': [
      { loss: { local: { invariance: 0, variance: 0, covariance: 0 } } },
      /\n {2}loss\.local\.invariance: all weights of the local loss are 0; give one a weight, or set loss\.alpha to 1/,
    ],
    'a temperature of 0': [{ loss: { criterion: 'simclr', temperature: 0 } }, /\n {2}loss\.temperature: /],
    'an unknown criterion': [{ loss: { criterion: 'barlow' } }, /\n {2}loss\.criterion: /],
    'alpha over 1': [{ loss: { alpha: 1.1 } }, /\n {2}loss\.alpha: 1\.1 is too big: .*<=1/],
    'alpha under 0': [{ loss: { alpha: -1 } }, /\n {2}loss\.alpha: -1 is too small: .*>=0/],
    'another word than there is': [
      { data: { source: 'photos', labels: 'classes' } },
      /\n {2}data\.labels: "classes" is an invalid option: expected one of "none"\|/,
    ],
    'a probability over 1': [
      { augmentation: { flip: 1.5 } },
      /\n {2}augmentation\.flip: 1\.5 is too big: expected number to be <=1/,
    ],
    'probabilities for three kinds of views': [
      { augmentation: { blur: { probability: [1, 0, 1] } } },
      /\n {2}augmentation\.blur\.probability: \[1,0,1\] is an invalid input: expected a probability/,
    ],
    'a hue turned by more than half the circle': [
      { augmentation: { jitter: { hue: 0.6 } } },
      /\n {2}augmentation\.jitter\.hue: 0\.6 is too big: expected number to be <=0\.5/,
    ],
    'a blur upside down': [
      { augmentation: { blur: { sigma: [2, 1] } } },
      /\n {2}augmentation\.blur\.sigma: the minimum 2 exceeds the maximum 1/,
    ],
    'more threads than a machine has': [{ threads: 3e9 }, /\n {2}threads: 3000000000 is too big: .*<=1024/],
    'an infinite rate': [
      { optimizer: { baseLr: Number.POSITIVE_INFINITY } },
      /\n {2}optimizer\.baseLr: Infinity is an invalid input/,
    ],
    'a metric that is not logged': [
      { checkpoints: { best: { metric: 'knn-top-1' } } },
      /\n {2}checkpoints\.best\.metric: "knn-top-1" is not logged; did you mean knn_top1\?/,
    ],
    'a metric unlike any that is logged': [
      { checkpoints: { best: { metric: 'accuracy' } } },
      /\n {2}checkpoints\.best\.metric: "accuracy" is not logged; there are l, inv_l, .*knn_top5/,
    ],
    'a metric that says nothing about quality': [
      { checkpoints: { best: { metric: 'lr' } } },
      /\n {2}checkpoints\.best\.metric: "lr" says nothing about the quality of a checkpoint; use one of l, inv_l, .*corm$/,
    ],
    'a metric of a probe that there is not': [
      { checkpoints: { best: { metric: 'knn_top1' } } },
      /\n {2}checkpoints\.best\.metric: "knn_top1" is not logged by this run: there is no probe\.knn; change that, or use one of l, /,
    ],
    'a metric of the local loss without one': [
      { loss: { alpha: 1 }, checkpoints: { best: { metric: 'minv_l' } } },
      /\n {2}checkpoints\.best\.metric: "minv_l" is not logged by this run: there is no local loss with loss\.alpha 1;/,
    ],
    'a rate that rises over the whole run': [
      { endLrRatio: 5 },
      /\n {2}endLrRatio: 5 is a final learning rate above the peak: .*; use a fraction of the peak, at most 1, such as 0\.001$/,
    ],
    'small views that are larger than the large ones': [
      { crops: { size: 96, small: { count: 2, size: 224 } } },
      /\n {2}crops\.small\.size: 224 exceeds the 96 pixels of the large views \(crops\.size\), .*use at most 96, or exchange them$/,
    ],
    'a drop path of 1': [{ model: { dropPath: 1 } }, /\n {2}model\.dropPath: /],
  };
  for (const [what, [keys, message]] of Object.entries(refused)) {
    it(`rejects ${what}`, () => assert.match(problem(keys), message));
  }

  it('lists every problem at once', () => {
    const message = problem({ crops: { size: 100, scale: [0.5, 0.2] }, epochs: 5, warmupEpochs: 6 });
    for (const key of ['crops.size', 'crops.scale', 'loss.numMatches.0', 'warmupEpochs']) {
      assert.ok(message.includes(`\n  ${key}: `), `${key} is missing from ${message}`);
    }
  });

  it('requires no weights for a loss that alpha omits, and none with simclr', () => {
    const none = { invariance: 0, variance: 0, covariance: 0 };
    for (const loss of [
      { alpha: 0, ...none, local: { variance: 1 } },
      { alpha: 1, local: none },
      { criterion: 'simclr', ...none },
    ]) {
      parseTrainConfig({ ...minimal, loss }, 'x.yaml');
    }
  });

  it('takes the mode of the best checkpoint from its metric, unless it is given', () => {
    const keys = { data: { source: 'x', labels: 'folders' }, probe: { knn: {} } };
    const modeOf = (best: object) =>
      parseTrainConfig({ ...minimal, ...keys, checkpoints: { best } }, 'x.yaml').checkpoints.best.mode;
    for (const metric of ['knn_top1', 'knn_top5', 'top1', 'stde', 'stdm'])
      assert.equal(modeOf({ metric }), 'max', metric);
    for (const metric of ['l', 'minv_l', 'cls_l', 'corr']) assert.equal(modeOf({ metric }), 'min', metric);
    assert.equal(modeOf({}), 'min');
    assert.equal(modeOf({ metric: 'knn_top1', mode: 'min' }), 'min');
    assert.equal(modeOf({ mode: 'max' }), 'max');
  });

  it('of a run that an older version accepted can be read, but what is set now is checked', () => {
    const old = {
      ...minimal,
      endLrRatio: 5,
      crops: { size: 96, small: { count: 2, size: 128 } },
      loss: { numMatches: [4, 4] },
      checkpoints: { best: { metric: 'knn_top1', mode: 'min' } },
    };
    const set = (key: string) => [{ path: key.split('.'), flag: `--set ${key}` }];
    assert.throws(() => parseTrainConfig(old, 'x.yaml'), /endLrRatio: [\s\S]*knn_top1/);
    for (const given of [[], set('epochs')]) {
      const config = parseRecordedConfig(old, 'x.yaml', given);
      assert.deepEqual([config.endLrRatio, config.crops.small?.size], [5, 128]);
      assert.deepEqual(config.checkpoints.best, { metric: 'knn_top1', mode: 'min' });
    }
    assert.throws(
      () => parseRecordedConfig(old, 'x.yaml', set('checkpoints.best.metric')),
      /^ConfigError: --set checkpoints\.best\.metric does not fit x\.yaml:\n {2}checkpoints\.best\.metric: "knn_top1" is not logged [^\n]*$/,
    );
    // What could never work is refused there too.
    assert.throws(() => parseRecordedConfig({ ...old, warmupEpochs: 30 }, 'x.yaml'), /warmupEpochs: 30 must be less/);
  });

  it('does not check keys that the loss does not read', () => {
    const crops = { size: 64 };
    for (const loss of [{ alpha: 1 }, { matches: 'feature', featureMatches: 'all' }]) {
      assert.deepEqual(parseTrainConfig({ ...minimal, crops, loss }, 'x.yaml').loss.numMatches, [20, 4]);
    }
    for (const loss of [{ matches: 'feature', featureMatches: 'top' }, { matches: 'location' }]) {
      assert.throws(() => parseTrainConfig({ ...minimal, crops, loss }, 'x.yaml'), /loss\.numMatches\.0: 20 exceeds/);
    }
    parseTrainConfig({ ...minimal, loss: { alpha: 1 }, model: { localProjector: [1] } }, 'x.yaml');
  });

  it('round-trips to the same text, with keys in the same order', () => {
    for (const keys of [{}, { optimizer: { weightDecay: 0.1 }, warmupEpochs: 1, threads: 2 }]) {
      const text = stringify(parseTrainConfig({ ...minimal, ...keys }, 'x.yaml'));
      assert.equal(stringify(parseTrainConfig(parse(text), 'x.yaml')), text);
    }
  });

  it('accepts every backbone by name, and custom ones', () => {
    for (const [architecture, backbone] of Object.entries(convNextConfigs)) {
      assert.deepEqual(backboneOf({ architecture }), backbone);
    }
    const plain = { family: 'convnext', depths: [1, 1], widths: [8, 16] };
    assert.deepEqual(backboneOf(custom), plain);
    assert.deepEqual(backboneOf({ ...custom, layerScale: 0.1 }), { ...plain, layerScale: 0.1 });
    const three = { architecture: 'resnet_basic', depths: [2, 2, 2], widths: [32, 64, 128] };
    assert.deepEqual(backboneOf(three), { family: 'resnet', block: 'basic', layers: [2, 2, 2], width: 32 });
    assert.deepEqual(backboneOf({ architecture: 'resnet18', outputStride: 16 }), {
      ...resNetConfigs['resnet18'],
      outputStride: 16,
    });
    // Stride 16 after three stages, and by dilation: 96 pixels have 36 cells.
    const fine = { batchSize: 4, crops: { size: 96 }, loss: { numMatches: [36, 36] } };
    for (const model of [three, { architecture: 'resnet18', outputStride: 16 }]) {
      parseTrainConfig({ ...minimal, ...fine, model }, 'x.yaml');
    }
    // stride 8, so that 72 pixels are 81 cells
    parseTrainConfig({ ...minimal, model: custom, crops: { size: 72 }, loss: { numMatches: [81, 81] } }, 'x.yaml');
  });
});
