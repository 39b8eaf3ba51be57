import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { tinyModelConfig, tinyWeights } from '../../test/support/tinyWeights.js';
import type { Checkpoint, StoredTensor } from '../checkpoint/checkpoint.js';
import { CheckpointFileError } from '../checkpoint/checkpointFileError.js';
import { readNetwork } from './importNetwork.js';

/** Inconsistent names and shapes: every table gives a network or a clear error, and no element is ever read. */

const SEED = 20221007;

const convNext = new Map([...tinyWeights(tinyModelConfig)].map(([name, { shape }]) => [name, shape]));
const resNet = new Map(
  [
    ...tinyWeights({
      ...tinyModelConfig,
      backbone: { family: 'resnet', block: 'bottleneck', layers: [1, 1, 2, 1], width: 4 },
    }),
  ].map(([name, { shape }]) => [name, shape]),
);
type Shapes = ReadonlyMap<string, readonly number[]>;

function open(shapes: Shapes): Checkpoint {
  return {
    format: 'pytorch',
    tensors: new Map([...shapes].map(([name, shape]): [string, StoredTensor] => [name, { type: 'float32', shape }])),
    facts: {},
    read: () => assert.fail('an element is read'),
  };
}

const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const size = fc.oneof(fc.nat(40), fc.constantFrom(0, 1, 2 ** 16, 2 ** 31, 2 ** 53 - 1));
/** Tensors that are removed, exchanged, reshaped and added. */
const change = fc.oneof(
  place.map((at) => ({ at, act: 'remove' as const })),
  fc.tuple(place, fc.array(size, { maxLength: 5 })).map(([at, shape]) => ({ at, act: 'reshape' as const, shape })),
  fc.tuple(place, place).map(([at, to]) => ({ at, act: 'swap' as const, to })),
  fc
    .tuple(
      fc.constantFrom('stages.0.9.dwconv', 'stages.7.0.norm', 'layer1.1.conv1', 'layer9.0.conv1', 'head', 'fc'),
      size,
    )
    .map(([name, length]) => ({ at: 0, act: 'add' as const, name: `backbone.${name}.weight`, length })),
);

function changed(shapes: Shapes, list: readonly (typeof change extends fc.Arbitrary<infer T> ? T : never)[]): Shapes {
  const result = new Map(shapes);
  const nameAt = (share: number) => [...result.keys()][Math.floor(share * result.size)]!;
  for (const one of list) {
    if (one.act === 'add') result.set(one.name, [one.length]);
    else if (result.size === 0) break;
    else if (one.act === 'remove') result.delete(nameAt(one.at));
    else if (one.act === 'reshape') result.set(nameAt(one.at), one.shape);
    else {
      const [a, b] = [nameAt(one.at), nameAt(one.to)];
      const [shapeA, shapeB] = [result.get(a)!, result.get(b)!];
      result.set(a, shapeB).set(b, shapeA);
    }
  }
  return result;
}

describe('readNetwork', () => {
  it('finds the network in consistent checkpoints', () => {
    for (const [shapes, architecture] of [
      [convNext, 'convnext'],
      [resNet, 'resnet_bottleneck'],
    ] as const) {
      const network = readNetwork(open(shapes), { fileBytes: 2 ** 30 });
      assert.equal(network.architecture, architecture);
      assert.deepEqual(
        [network.expander, network.localProjector],
        [tinyModelConfig.expander, tinyModelConfig.localProjector],
      );
    }
  });

  for (const [name, shapes] of Object.entries({ convNext, resNet })) {
    it(`reads or rejects inconsistent checkpoints of a ${name} (250 tables of names and shapes)`, () => {
      let refused = 0;
      fc.assert(
        fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (list) => {
          try {
            readNetwork(open(changed(shapes, list)), { fileBytes: 2 ** 30 });
          } catch (error) {
            assert.ok(error instanceof CheckpointFileError, error instanceof Error ? error.stack : String(error));
            refused += 1;
          }
        }),
        { seed: SEED, numRuns: 250 },
      );
      assert.ok(refused > 175, `${refused} of 250 were refused`);
    });
  }

  it('allocates no memory for sizes that a file only claims', () => {
    for (const [shapes, name] of [
      [resNet, 'backbone.conv1.weight'],
      [convNext, 'backbone.downsample_layers.0.0.weight'],
    ] as const) {
      const before = process.memoryUsage().arrayBuffers;
      for (const width of [2 ** 24, 2 ** 31, 2 ** 53 - 1]) {
        assert.throws(
          () => readNetwork(open(new Map(shapes).set(name, [width, 3, 4, 4])), { fileBytes: 2 ** 30 }),
          (error) => error instanceof CheckpointFileError,
        );
      }
      assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 24, name);
    }
    const before = process.memoryUsage().arrayBuffers;
    for (const width of [2 ** 24, 2 ** 31, 2 ** 53 - 1]) {
      const head = new Map(convNext).set('projector.0.weight', [width, 3, 4, 4]);
      assert.equal(readNetwork(open(head), { fileBytes: 2 ** 30 }).expander, undefined);
    }
    assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 24, 'projector');
  });

  it('rejects weights that claim more elements than the file has bytes', () => {
    assert.throws(
      () => readNetwork(open(convNext), { fileBytes: 100 }),
      /claim \d+ elements, more than a file of 100 bytes/,
    );
  });

  /** A head of solo-learn's SimCLR: Linear with bias, BatchNorm, ReLU, Linear with bias. */
  const foreign = (name: string, channels: number): [string, readonly number[]][] => [
    [`${name}.0.weight`, [24, channels]],
    [`${name}.0.bias`, [24]],
    ...['weight', 'bias', 'running_mean', 'running_var'].map((part): [string, number[]] => [`${name}.1.${part}`, [24]]),
    [`${name}.1.num_batches_tracked`, []],
    [`${name}.3.weight`, [24, 24]],
    [`${name}.3.bias`, [24]],
  ];
  const backboneOf = (shapes: Shapes) => [...shapes].filter(([name]) => name.startsWith('backbone.'));
  const options = { fileBytes: 2 ** 30 };

  for (const [name, shapes, channels] of [
    ['ConvNeXt', convNext, 16],
    ['ResNet', resNet, 128],
  ] as const) {
    it(`imports the backbone of a ${name} with heads of other forms, and reports what it omitted`, () => {
      const table = new Map([...backboneOf(shapes), ...foreign('projector', channels), ...foreign('predictor', 24)]);
      const network = readNetwork(open(table), options);
      assert.equal(network.expander, undefined);
      assert.deepEqual(
        [...network.weights.shapes.keys()].filter((key) => !key.startsWith('backbone.')),
        [],
      );
      const [projector, predictor] = network.leftOut;
      assert.deepEqual([projector?.name, projector?.tensors], ['projector', 8]);
      assert.match(
        projector!.reason!,
        /does not have the form of VICRegL's heads: .*unexpected: projector\.3\.bias \[24\]/,
      );
      assert.deepEqual(predictor, { name: 'predictor', tensors: 8 });
      // The other head is imported nevertheless.
      const both = new Map([...shapes, ...foreign('projector', channels)]);
      assert.deepEqual(readNetwork(open(both), options).localProjector, tinyModelConfig.localProjector);
    });
  }

  it('does not check an expander that is not imported', () => {
    for (const claims of [[2 ** 53 - 1, 16], [24], []]) {
      const table = new Map([...convNext, ['projector.0.weight', claims] as const, ['projector.9.x', [3]] as const]);
      const network = readNetwork(open(table), { ...options, expander: false });
      assert.equal(network.expander, undefined);
      const projector = network.leftOut.find(({ name }) => name === 'projector');
      assert.equal(projector?.reason, 'not asked for');
    }
  });

  it('omits heads inside the backbone, and rejects tensors that would change its result', () => {
    const bare = backboneOf(resNet).filter(([key]) => !key.startsWith('backbone.fc'));
    for (const key of ['fc.0.weight', 'head.mlp.0.weight', 'projection_head.2.bias', 'prototypes.weight', 'queue']) {
      const { leftOut, classes } = readNetwork(open(new Map([...bare, [`backbone.${key}`, [9, 128]]])), options);
      assert.deepEqual([leftOut.length, leftOut[0]?.tensors, classes], [1, 1, undefined], key);
    }
    for (const key of ['layer1.0.se.fc1.weight', 'attnpool.q_proj.weight', 'conv1.bias']) {
      assert.throws(
        () => readNetwork(open(new Map([...bare, [`backbone.${key}`, [9]]])), options),
        (error: Error) => error.message.includes(`unexpected: backbone.${key} [9]`),
      );
    }
  });

  it('imports one of several encoders by its prefix', () => {
    const at = (prefix: string) => backboneOf(resNet).map(([key, shape]) => [prefix + key.slice(9), shape] as const);
    const moco = new Map([
      ...at('module.encoder_q.'),
      ['module.encoder_q.fc.weight', [64, 128]] as const,
      ['module.encoder_q.fc.bias', [64]] as const,
      ...at('module.encoder_k.'),
      ['module.queue', [64, 100]] as const,
    ]);
    assert.throws(
      () => readNetwork(open(moco), options),
      /it holds 2 backbones; choose one with --prefix: module\.encoder_q\., module\.encoder_k\.$/,
    );
    for (const prefix of ['module.encoder_q', 'module.encoder_q.']) {
      const { leftOut, classes } = readNetwork(open(moco), { ...options, prefix });
      assert.equal(classes, undefined, "MoCo's fc is a projection");
      assert.deepEqual(
        leftOut.map(({ name, tensors }) => [name, tensors]),
        [
          ['module.encoder_q.fc', 2],
          ['module.encoder_k', at('').length],
          ['module.queue', 1],
        ],
      );
    }
    const dino = new Map([...at('student/module.backbone.'), ...at('teacher/backbone.')]);
    assert.throws(() => readNetwork(open(dino), options), /student\/module\.backbone\., teacher\/backbone\.$/);
    const teacher = readNetwork(open(dino), { ...options, prefix: 'teacher' });
    assert.deepEqual(
      teacher.leftOut.map(({ name }) => name),
      ['student'],
    );
    assert.throws(
      () => readNetwork(open(dino), { ...options, prefix: 'momentum' }),
      /no backbone under the prefix "momentum"/,
    );
    // Averaged weights and optimizer states in dicts next to the weights do not make a choice necessary.
    const averaged = new Map([...resNet, ...at('ema/backbone.'), ...at('state_dict_ema/')]);
    assert.deepEqual(
      readNetwork(open(averaged), options).leftOut.map(({ name }) => name),
      ['ema', 'state_dict_ema'],
    );
    assert.equal(readNetwork(open(averaged), { ...options, prefix: 'ema' }).expander, undefined);
    // With an additional momentum encoder, as in solo-learn, heads belong to their own encoder.
    const heads = [...resNet].filter(([key]) => key.startsWith('maps_projector.'));
    const momentum = new Map([...at('backbone.'), ...at('momentum_backbone.')]);
    for (const [key, shape] of heads) momentum.set(`momentum_${key}`, shape);
    const { localProjector } = readNetwork(open(momentum), { ...options, prefix: 'momentum_backbone' });
    assert.deepEqual(localProjector, tinyModelConfig.localProjector);
    assert.equal(readNetwork(open(momentum), { ...options, prefix: 'backbone.' }).localProjector, undefined);
  });
});
