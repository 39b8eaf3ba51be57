import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import onnxProto from 'onnx-proto';
import { tinyModelConfig, tinyWeights } from '../../test/support/tinyWeights.js';
import { createSession, runSession } from '../onnx/session.js';
import { readSafetensors } from '../tensor/safetensors.js';
import { tensor } from '../tensor/tensor.js';
import { exportModel } from './exportModel.js';
import type { ExportOptions } from './exportSource.js';
import { type ModelFolder, openModelFolder } from './folder.js';
import { importCheckpoint } from './importCheckpoint.js';
import { modelSource } from './modelSource.js';
import { readWeights } from './readWeights.js';
import { verifyModel } from './verifyModel.js';

const { onnx } = onnxProto;

/** The location of weights: once in weights.safetensors, or inside the graphs. */
describe('weights of a model folder', () => {
  const { backbone, localProjector, expander } = tinyModelConfig;
  const weights = tinyWeights(tinyModelConfig);
  const image = tensor(
    'uint8',
    [1, 64, 64, 3],
    Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919) % 256),
  );
  let scratch: string;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-weights-'));
  });
  after(() => rm(scratch, { recursive: true }));

  const about = {
    name: 'tiny',
    version: '1',
    architecture: 'custom',
    alpha: 0.75,
    license: 'Apache-2.0',
    training: {},
  };
  async function write(name: string, options: Partial<ExportOptions> = {}): Promise<ModelFolder> {
    const dir = join(scratch, name);
    const source = { ...about, backbone, localProjector, expander, weights };
    await exportModel(dir, source, { precision: 'float32', ...options });
    return openModelFolder(dir);
  }
  const initializers = async (folder: ModelFolder, kind: 'backbone' | 'localProjector' | 'expander') =>
    onnx.ModelProto.decode(await readFile(folder.graphPath(kind)!)).graph!.initializer!;
  const isExternal = ({ dataLocation }: onnxProto.onnx.ITensorProto) =>
    dataLocation === onnx.TensorProto.DataLocation.EXTERNAL;
  async function outputs(folder: ModelFolder) {
    const session = await createSession(folder.graphPath('backbone')!, { threads: 1 });
    const found = await runSession(session, { images: image });
    await session.release();
    return found;
  }

  it('are stored once, in one safetensors file under the names of the checkpoint, to which every graph refers', async () => {
    const folder = await write('beside');
    assert.equal(folder.manifest.weights, 'weights.safetensors');
    const { tensors } = await readSafetensors(join(folder.dir, 'weights.safetensors'));
    assert.deepEqual([...tensors.keys()].sort(), [...weights.keys()].sort());
    for (const [name, value] of weights) assert.deepEqual(tensors.get(name), value, name);
    const seen = new Set<string>();
    for (const kind of ['backbone', 'localProjector', 'expander'] as const) {
      for (const value of await initializers(folder, kind)) {
        if (weights.has(value.name!)) assert.ok(isExternal(value), value.name!);
        else assert.ok(!isExternal(value) && value.rawData!.length < 1024, value.name!);
        if (isExternal(value)) seen.add(value.name!);
      }
    }
    assert.deepEqual([...seen].sort(), [...weights.keys()].sort());
  });

  it('compute the same inside the graphs (single file), which then need no other file', async () => {
    const [beside, single] = [await write('a'), await write('single', { singleFile: true })];
    assert.equal(single.manifest.weights, undefined);
    assert.ok(!('weights.safetensors' in single.manifest.files));
    assert.ok(!(await initializers(single, 'backbone')).some(isExternal));
    assert.deepEqual(await outputs(beside), await outputs(single));
    assert.deepEqual(beside.manifest.check, single.manifest.check);
    const session = await createSession(await readFile(single.graphPath('backbone')!), { threads: 1 });
    await session.release();
  });

  it('of int8 and float16 forms may also be separate from the graphs, with the same results', async () => {
    const forms: Record<string, Partial<ExportOptions>> = {
      int8: { quantize: { calibration: [image], heldOut: [], ranges: 'minmax' } },
      half: { compute: 'float16' },
      stored: { precision: 'float16' },
    };
    for (const [name, options] of Object.entries(forms)) {
      const [beside, single] = [await write(name, options), await write(`${name}-1`, { ...options, singleFile: true })];
      assert.deepEqual(await outputs(beside), await outputs(single), name);
      const inline = (await initializers(beside, 'backbone')).filter((value) => !isExternal(value));
      assert.ok(
        inline.every(({ rawData }) => rawData!.length < 1024),
        name,
      );
    }
  });

  it('are converted from either kind of folder, and a folder with a weights file is itself a checkpoint', async () => {
    const [beside, single] = [await write('b'), await write('c', { singleFile: true })];
    const made = [];
    for (const [i, folder] of [beside, single].entries()) {
      const dir = join(scratch, `converted-${i}`);
      await exportModel(dir, await modelSource(folder, 'tiny'), { precision: 'float32' });
      made.push((await openModelFolder(dir)).manifest.files);
    }
    assert.deepEqual(made[0], beside.manifest.files);
    assert.deepEqual(made[1], beside.manifest.files);
    const options = {
      name: 'tiny',
      alpha: 0.75,
      license: 'unknown',
      writeExpander: true,
      precision: 'float32',
    } as const;
    const file = join(beside.dir, 'weights.safetensors');
    const { manifest } = await importCheckpoint(file, join(scratch, 'again'), options);
    assert.deepEqual(manifest.files, beside.manifest.files);
  });

  it('whose file is damaged, missing or outside the folder are rejected', async () => {
    const folder = await write('damaged');
    const file = join(folder.dir, 'weights.safetensors');
    const bytes = await readFile(file);
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(file, bytes);
    await assert.rejects(verifyModel(folder.dir), {
      name: 'ModelFolderError',
      message: /weights\.safetensors has sha256/,
    });
    await rm(file);
    await assert.rejects(openModelFolder(folder.dir), { message: /weights\.safetensors is missing/ });
    const elsewhere = await write('elsewhere');
    const path = elsewhere.graphPath('expander')!;
    const model = onnx.ModelProto.decode(await readFile(path));
    const [value] = model.graph!.initializer!.filter(isExternal);
    value!.externalData!.find(({ key }) => key === 'location')!.value = '../../etc/passwd';
    await writeFile(path, onnx.ModelProto.encode(model).finish());
    await assert.rejects(readWeights(elsewhere), {
      name: 'ModelFolderError',
      message: /expander\.onnx refers to "\.\.\/\.\.\/etc\/passwd", which its manifest does not list/,
    });
  });

  it('that are not finite are rejected before the folder is replaced', async () => {
    const broken = new Map(weights);
    const name = 'backbone.norm.weight';
    const { shape } = broken.get(name)!;
    broken.set(name, tensor('float32', shape, new Float32Array(shape[0]!).fill(Number.NaN)));
    const dir = join(scratch, 'nan');
    await assert.rejects(exportModel(dir, { ...about, backbone, weights: broken }, { precision: 'float32' }), {
      name: 'ParameterError',
      message: `element 0 of the weight ${name} is NaN; is the file damaged?`,
    });
    await assert.rejects(openModelFolder(dir), { message: /cannot read/ });
  });
});
