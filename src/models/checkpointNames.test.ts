import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { evaluate, relativeError } from '../../test/support/graphs.js';
import { tinyModelConfig, tinyWeights } from '../../test/support/tinyWeights.js';
import { backboneChannels } from '../nn/backbone.js';
import { constantParameters } from '../nn/parameters.js';
import { linear } from '../onnx/ops/linear.js';
import { layerNorm } from '../onnx/ops/normalisation.js';
import { reduceMean } from '../onnx/ops/reduce.js';
import { createSession, runSession } from '../onnx/session.js';
import { writeSafetensors } from '../tensor/safetensors.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { findBackbone } from './checkpointNames.js';
import { openModelFolder } from './folder.js';
import { importCheckpoint } from './importCheckpoint.js';
import { readWeights } from './readWeights.js';
import { readAllWeights } from './weightSource.js';

/** A tiny ConvNeXt with layer scale, named as timm and torchvision name theirs. */
const config = { backbone: { ...tinyModelConfig.backbone, layerScale: 1 } };
const ours = new Map([...tinyWeights(config)].map(([name, value]) => [name.slice('backbone.'.length), value]));
const channels = backboneChannels(tinyModelConfig.backbone);
const CLASSES = 7;
const matrix = tensor(
  'float32',
  [CLASSES, channels],
  Float32Array.from({ length: CLASSES * channels }, (_, i) => Math.sin(i)),
);
const bias = tensor(
  'float32',
  [CLASSES],
  Float32Array.from({ length: CLASSES }, (_, i) => i),
);

const timmName = (name: string) =>
  name
    .replace(/^downsample_layers\.0/, 'stem')
    .replace(/^downsample_layers\.(\d)/, 'stages.$1.downsample')
    .replace(/^stages\.(\d)\.(\d+)\./, 'stages.$1.blocks.$2.')
    .replace('.dwconv.', '.conv_dw.')
    .replace('.pwconv', '.mlp.fc')
    .replace(/^norm\./, 'head.norm.');
const torchvisionName = (name: string) =>
  name
    .replace(/^downsample_layers\.(\d)/, (_, stage) => `features.${2 * Number(stage)}`)
    .replace(/^stages\.(\d)\.(\d+)\./, (_, stage, block) => `features.${2 * Number(stage) + 1}.${block}.block.`)
    .replace('.block.dwconv.', '.block.0.')
    .replace('.block.norm.', '.block.2.')
    .replace('.block.pwconv1.', '.block.3.')
    .replace('.block.pwconv2.', '.block.5.')
    .replace(/\.block\.gamma$/, '.layer_scale')
    .replace(/^norm\./, 'classifier.0.');
const renamed = (rename: (name: string) => string) => [...ours].map(([name, value]) => [rename(name), value] as const);
const reshaped = ({ dtype, data }: Tensor, shape: readonly number[]) => tensor(dtype, shape, data);

describe('checkpoints with the names of other libraries', () => {
  let scratch: string;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-names-'));
  });
  after(() => rm(scratch, { recursive: true }));

  async function imported(name: string, weights: ReadonlyMap<string, Tensor>) {
    const file = join(scratch, `${name}.safetensors`);
    await writeSafetensors(file, weights);
    const options = { name, license: 'unknown', writeExpander: true, precision: 'float32', stages: [4] } as const;
    const result = await importCheckpoint(file, join(scratch, name), options);
    return { ...result, folder: await openModelFolder(join(scratch, name)) };
  }

  const files: Record<string, [fc: string, weights: ReadonlyMap<string, Tensor>]> = {
    timm: ['head.fc', new Map(renamed(timmName))],
    'timm-conv-mlp': [
      'head.fc',
      new Map(
        renamed(timmName).map(([name, value]) => [
          name,
          /fc[12]\.weight$/.test(name) ? reshaped(value, [...value.shape, 1, 1]) : value,
        ]),
      ),
    ],
    torchvision: [
      'classifier.2',
      new Map(
        renamed(torchvisionName).map(([name, value]) => [
          name,
          name.endsWith('layer_scale') ? reshaped(value, [...value.shape, 1, 1]) : value,
        ]),
      ),
    ],
    'the-papers-own-code': ['head', ours],
  };
  for (const [name, [classifier, backbone]] of Object.entries(files)) {
    it(`(${name}) give the same backbone, its classifier, and the mean before the norm`, async () => {
      const weights = new Map(backbone);
      weights.set(`${classifier}.weight`, matrix).set(`${classifier}.bias`, bias);
      const { manifest, network, folder } = await imported(name, weights);
      assert.deepEqual(network.leftOut, []);
      const { poolingOrder, alpha, dims, heads, outputs } = manifest;
      assert.deepEqual([poolingOrder, alpha, dims.classes, heads.classifier], ['mean-norm', null, CLASSES, CLASSES]);
      assert.deepEqual(outputs['logits'], { graph: 'classifier', shape: ['batch', CLASSES] });
      const read = await readAllWeights(await readWeights(folder));
      for (const [key, value] of ours) assert.deepEqual(read.get(`backbone.${key}`), value, key);

      const images = tensor(
        'uint8',
        [2, 64, 64, 3],
        new Uint8Array(2 * 64 * 64 * 3).map((_, i) => (i * 31) % 255),
      );
      const session = await createSession(folder.graphPath('backbone')!, { threads: 1 });
      const found = await runSession(session, { images });
      const head = await createSession(folder.graphPath('classifier')!, { threads: 1 });
      const logits = await runSession(head, { representation: found.get('representation')! });
      await Promise.all([session.release(), head.release()]);
      const expected: Record<string, Tensor> = await evaluate((feed, graph) => {
        const parameters = constantParameters(graph, ours);
        const of = (key: string) => parameters.get(key, ours.get(key)!.shape, { kind: 'zeros' });
        const norm = (x: ReturnType<typeof feed>) => layerNorm(x, of('norm.weight'), of('norm.bias'), 1e-6);
        const map = feed(found.get('stage4')!);
        const representation = norm(reduceMean(map, [1, 2]));
        return { representation, maps: norm(map), logits: linear(representation, feed(matrix), feed(bias)) };
      });
      for (const [output, value] of Object.entries({ ...Object.fromEntries(found), ...Object.fromEntries(logits) })) {
        if (output === 'stage4') continue;
        const error = relativeError(value.data as Float32Array, expected[output]!.data as Float32Array);
        assert.ok(error < 1e-5, `${output}: ${error}`);
      }
    });
  }

  it('keep the pooling order if timm normalises first', async () => {
    const first = new Map(renamed((name) => timmName(name).replace(/^head\.norm\./, 'norm_pre.')));
    first.set('head.fc.weight', matrix).set('head.fc.bias', bias);
    assert.equal((await imported('norm-first', first)).manifest.poolingOrder, undefined);
  });

  it('are rejected with the differences, in the names of the file', async () => {
    const weights = new Map(renamed(torchvisionName));
    weights.delete('classifier.0.bias');
    weights.delete('features.5.0.block.5.weight');
    weights.set('features.1.0.grn', bias);
    await assert.rejects(imported('unfit', weights), (error: Error) => {
      assert.equal(error.name, 'CheckpointFileError');
      assert.match(error.message, /\n {2}missing: features\.5\.0\.block\.5\.weight \[16, 64\]/);
      assert.match(error.message, /\n {2}missing: classifier\.0\.bias \[16\]/);
      assert.match(error.message, /\n {2}unexpected: features\.1\.0\.grn \[7\]/);
      return true;
    });
    assert.ok(!(await readdir(scratch)).includes('unfit'));
  });

  it('are found under usual prefixes, and rejected if there is none or more than one', () => {
    assert.equal(findBackbone(['module.backbone.layer1.0.conv1.weight', 'fc.weight']).prefix, 'module.backbone.');
    assert.equal(findBackbone(['encoder.q.layer1.0.conv1.weight']).prefix, 'encoder.q.');
    assert.throws(
      () => findBackbone(['a.layer1.0.conv1.weight', 'b.layer1.0.conv1.weight']),
      /holds 2 backbones; choose one with --prefix: a\., b\./,
    );
    assert.throws(
      () => findBackbone(['blocks.0.attn.qkv.weight']),
      /no backbone of a known family \(ConvNeXt, ResNet.*\) under .*blocks\.0\.attn/,
    );
  });

  it('are rejected if one prefix has the names of two families', () => {
    const both = ['encoder.layer1.0.conv1.weight', 'encoder.downsample_layers.0.0.weight'];
    assert.throws(() => findBackbone(both), {
      name: 'CheckpointFileError',
      message:
        'it holds a ResNet (names: authors) and a ConvNeXt (names: authors) under the same prefix encoder.; ' +
        'save the tensors of one network in a file of its own',
    });
  });

  it('without a stem are rejected as incomplete, and not inferred as another family', async () => {
    for (const [name, rename, stem] of [
      ['no-stem-timm', timmName, 'stem.0.weight'],
      ['no-stem-torchvision', torchvisionName, 'features.0.0.weight'],
    ] as const) {
      const weights = new Map(renamed(rename));
      weights.delete(stem);
      const missing = `it does not fit convnext:\n  missing: ${stem} [8, 3, 4, 4]`;
      await assert.rejects(imported(name, weights), (error: Error) => {
        assert.equal(error.name, 'CheckpointFileError');
        assert.ok(error.message.endsWith(missing), error.message);
        return true;
      });
    }
  });
});
