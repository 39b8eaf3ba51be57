import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { tinyModelConfig, tinyWeights } from '../../test/support/tinyWeights.js';
import { architectureNames, architectureOf, backboneConfigs, backboneStride, stageSizes } from '../nn/backbone.js';
import { backboneOfManifest } from './architecture.js';
import { exportModel } from './exportModel.js';
import { openModelFolder } from './folder.js';
import { modelSource } from './modelSource.js';
import { writeRandomModel } from './randomModel.js';

const { backbone, localProjector } = tinyModelConfig;
const source = {
  ...{ name: 'tiny', version: '1', architecture: 'custom', backbone, localProjector, alpha: 0.75 },
  ...{ weights: tinyWeights(tinyModelConfig), license: 'Apache-2.0', training: {} },
};

describe('the architecture of a manifest', () => {
  let scratch: string;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-architecture-'));
    await exportModel(join(scratch, 'tiny'), source, { precision: 'float32', check: false });
  });
  after(() => rm(scratch, { recursive: true }));

  it('resolves to the backbone of every configuration', () => {
    for (const [architecture, config] of Object.entries(backboneConfigs)) {
      const manifest = { architecture, ...stageSizes(config), stride: backboneStride(config) };
      assert.equal(backboneOfManifest(manifest), config);
    }
  });

  it('is known, or an error with its name and the known ones', async () => {
    const { manifest, ...folder } = await openModelFolder(join(scratch, 'tiny'));
    assert.deepEqual(backboneOfManifest(manifest), backbone);
    const other = { ...manifest, architecture: 'vit_small' };
    const unknown = {
      name: 'ModelFolderError',
      message: `the manifest's backbone cannot be built: architecture "vit_small" is unknown; known are ${architectureNames.join(', ')}`,
    };
    assert.throws(() => backboneOfManifest(other), unknown);
    await assert.rejects(modelSource({ ...folder, manifest: other }, 'again'), unknown);
    await assert.rejects(writeRandomModel(join(scratch, 'random'), other, 1), unknown);
  });

  it('is rejected with a stride or a layer scale that it cannot have', async () => {
    const { manifest } = await openModelFolder(join(scratch, 'tiny'));
    assert.throws(() => backboneOfManifest({ ...manifest, stride: 16 }), {
      name: 'ModelFolderError',
      message: /output stride 16: a ConvNeXt's is 32/,
    });
    const resnet = { architecture: 'resnet18', ...stageSizes(backboneConfigs['resnet18']!), stride: 32 };
    assert.throws(() => backboneOfManifest({ ...resnet, layerScale: 1 }), {
      name: 'ModelFolderError',
      message: /a ResNet has no layer scale/,
    });
  });

  it('is only written if it resolves to the backbone', async () => {
    for (const [architecture, message] of [
      ['vit_small', /^architecture "vit_small" is unknown; known are convnext_atto, /],
      ['convnext_atto', /^architecture "convnext_atto" is not that of the backbone, convnext$/],
      ['resnet18', /^architecture "resnet18" is not that of the backbone, convnext$/],
    ] as const) {
      await assert.rejects(
        exportModel(join(scratch, 'refused'), { ...source, architecture }, { precision: 'float32' }),
        { name: 'RangeError', message },
      );
    }
    assert.deepEqual(await readdir(scratch), ['tiny']);
    const named = architectureOf(backbone);
    const manifest = await exportModel(
      join(scratch, 'named'),
      { ...source, architecture: named },
      { precision: 'float32', check: false },
    );
    assert.equal(manifest.architecture, 'convnext');
  });
});
