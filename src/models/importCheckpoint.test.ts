import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { call, global, str } from '../../test/support/pickles.js';
import { torchFile } from '../../test/support/torchFile.js';
import { readSafetensors, writeSafetensors } from '../tensor/safetensors.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { backboneOfManifest } from './architecture.js';
import { exportModel } from './exportModel.js';
import { openModelFolder } from './folder.js';
import { alphaOfFile, importCheckpoint, licenseOfFile } from './importCheckpoint.js';
import { modelSource } from './modelSource.js';
import { readWeights } from './readWeights.js';
import { readAllWeights } from './weightSource.js';

const golden = 'test/golden/train_convnext_adamw';
const options = { name: 'm', alpha: 0.75, license: 'unknown', writeExpander: true, precision: 'float32' } as const;
const fileError = (message: RegExp) => ({ name: 'CheckpointFileError', message });

describe('importCheckpoint', () => {
  let scratch = '';
  let weights: ReadonlyMap<string, Tensor>;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-import-'));
    weights = (await readSafetensors(`${golden}.init.safetensors`)).tensors;
  });
  after(() => rm(scratch, { recursive: true }));

  /** Asserts that an import is rejected, with nothing written. */
  async function refuses(file: string, message: RegExp, architecture?: string): Promise<void> {
    const out = join(scratch, 'refused');
    await assert.rejects(importCheckpoint(file, out, { ...options, architecture }), fileError(message));
    assert.deepEqual(
      (await readdir(scratch)).filter((name) => name.includes('refused')),
      [],
    );
  }

  it('writes a full checkpoint as a model folder with its weights, heads, source and licence', async () => {
    const out = join(scratch, 'full');
    const { manifest, network } = await importCheckpoint(`${golden}.pth`, out, options);
    assert.deepEqual(
      [manifest.depths, manifest.widths],
      [
        [1, 1, 2, 1],
        [8, 16, 24, 32],
      ],
    );
    assert.deepEqual(manifest.heads, {
      localProjector: [24, 24, 24],
      expander: [48, 48, 48],
      classifier: 5,
      norm: 'layer',
    });
    assert.equal(manifest.source?.file, 'train_convnext_adamw.pth');
    assert.deepEqual(network.leftOut, []);
    const written = await readAllWeights(await readWeights(await openModelFolder(out)));
    assert.deepEqual([...written.keys()].sort(), [...network.weights.shapes.keys()].sort());
    for (const [name, { data }] of written) {
      if (!name.startsWith('classifier.')) assert.deepEqual(data, weights.get(name)!.data, name);
    }
  });

  it('writes a ResNet of any depths and widths, which can be exported in other forms', async () => {
    const out = join(scratch, 'resnet');
    const { manifest, network } = await importCheckpoint('test/golden/train_resnet_lars.pth', out, options);
    assert.equal(manifest.architecture, 'resnet_bottleneck');
    assert.deepEqual(backboneOfManifest(manifest), network.backbone);
    const finer = join(scratch, 'finer');
    const source = await modelSource(await openModelFolder(out), 'finer');
    const converted = await exportModel(finer, source, { precision: 'float32', outputStride: 8 });
    assert.equal(converted.files['weights.safetensors']!.sha256, manifest.files['weights.safetensors']!.sha256);
    assert.deepEqual({ ...network.backbone, outputStride: 8 }, backboneOfManifest(converted));
  });

  it('lists all missing and unexpected tensors and those of another shape', async () => {
    const changed = new Map(weights);
    changed.delete('backbone.stages.2.1.norm.bias');
    changed.set('backbone.norm.weight', tensor('float32', [3], new Float32Array(3)));
    changed.set('backbone.stages.0.0.extra', tensor('float32', [1], new Float32Array(1)));
    const file = join(scratch, 'changed.safetensors');
    await writeSafetensors(file, changed);
    await refuses(
      file,
      /changed\.safetensors: it does not fit convnext:\n {2}missing: backbone\.stages\.2\.1\.norm\.bias \[24\]\n {2}of another shape: backbone\.norm\.weight is \[3\], expected \[32\]\n {2}unexpected: backbone\.stages\.0\.0\.extra \[1\]$/,
    );
  });

  it('imports a local projector only if the file has one', async () => {
    const file = join(scratch, 'bare.safetensors');
    const bare = [...weights].filter(([name]) => name.startsWith('backbone.'));
    await writeSafetensors(file, new Map(bare.map(([name, value]) => [name.slice('backbone.'.length), value])));
    const { manifest } = await importCheckpoint(file, join(scratch, 'bare'), options);
    assert.deepEqual(manifest.graphs, { backbone: 'backbone.onnx' });
  });

  it('rejects another architecture than the requested one', async () => {
    await refuses(
      `${golden}.pth`,
      /does not fit convnext_atto:\n {2}of another shape: .*downsample_layers\.0\.0\.weight/,
      'convnext_atto',
    );
    await refuses(`${golden}.pth`, /there is no architecture "vit"; choose from convnext_atto/, 'vit');
  });

  it('rejects a file that would execute code, and a truncated one', async () => {
    const file = join(scratch, 'evil.pth');
    await writeFile(file, torchFile(call(global('posix', 'system'), str(`touch ${scratch}/owned`)), {}));
    await refuses(file, /evil\.pth: .*"posix\.system", which is refused/);
    const cut = join(scratch, 'cut.pth');
    const whole = await readFile(`${golden}.pth`);
    await writeFile(cut, whole.subarray(0, whole.length / 2));
    await refuses(cut, /is it truncated/);
    assert.ok(!(await readdir(scratch)).includes('owned'));
  });

  it('rejects weights that are not finite by their name, outside the backbone too', async () => {
    const name = 'maps_projector.0.weight';
    const { shape, data } = weights.get(name)!;
    const changed = Float32Array.from(data as Float32Array);
    changed[5] = Number.NaN;
    const file = join(scratch, 'nan.safetensors');
    await writeSafetensors(file, new Map(weights).set(name, tensor('float32', shape, changed)));
    for (const form of [{}, { singleFile: true }]) {
      await assert.rejects(importCheckpoint(file, join(scratch, 'nan'), { ...options, ...form }), {
        name: 'ParameterError',
        message: `element 5 of the weight ${name} is NaN; is the file damaged?`,
      });
    }
    assert.deepEqual(
      (await readdir(scratch)).filter((entry) => /nan(\.|$)/.test(entry)),
      ['nan.safetensors'],
    );
  });

  it("reads alpha and the authors' licence from the file name", () => {
    assert.equal(alphaOfFile('a/resnet50_alpha0.75.pth'), 0.75);
    assert.equal(alphaOfFile('convnext_small_alpha0.9_fullckpt.pth'), 0.9);
    assert.equal(alphaOfFile('weights.pth'), undefined);
    assert.equal(alphaOfFile('resnet50_alpha1.pth'), 1);
    assert.equal(alphaOfFile('resnet50_alpha1.5.pth'), undefined);
    assert.equal(licenseOfFile('a/convnext_small_alpha0.9_fullckpt.pth'), 'CC-BY-NC-4.0');
    assert.equal(licenseOfFile('my_alpha0.9.pth'), 'unknown');
  });
});
