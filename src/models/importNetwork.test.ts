import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { tinyModelConfig, tinyWeights } from '../../test/support/tinyWeights.js';
import type { Checkpoint, StoredTensor } from '../checkpoint/checkpoint.js';
import { CheckpointFileError } from '../checkpoint/checkpointFileError.js';
import { readNetwork } from './importNetwork.js';

/** Names and shapes that contradict each other: every table is a network or a clear error, and no element is ever read. */

const SEED = 20221007;

const convNext = new Map([...tinyWeights(tinyModelConfig)].map(([name, { shape }]) => [name, shape]));
const resNet = new Map(
  [...tinyWeights({ ...tinyModelConfig, backbone: { block: 'bottleneck', layers: [1, 1, 2, 1], width: 4 } })].map(
    ([name, { shape }]) => [name, shape],
  ),
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
/** Tensors removed, renamed to others' places, reshaped, and added beside. */
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
  it('finds the network of sound tables', () => {
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
    it(`reads or refuses contradicting tables of a ${name} (250 tables)`, () => {
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

  it('takes no memory for sizes that a file merely claims', () => {
    for (const [shapes, name] of [
      [resNet, 'backbone.conv1.weight'],
      [convNext, 'backbone.downsample_layers.0.0.weight'],
      [convNext, 'projector.0.weight'],
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
  });

  it('refuses weights that claim more elements than the file has bytes', () => {
    assert.throws(
      () => readNetwork(open(convNext), { fileBytes: 100 }),
      /claim \d+ elements, more than a file of 100 bytes/,
    );
  });
});
