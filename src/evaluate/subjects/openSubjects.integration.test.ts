import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { tinyManifest } from '../../../test/support/tinyModel.js';
import type { OutputName } from '../../engine/engine.js';
import { createOnnxEngine } from '../../engine/onnxEngine.js';
import { type ModelFolder, openModelFolder } from '../../models/folder.js';
import { writeRandomModel } from '../../models/randomModel.js';
import { tensor } from '../../tensor/tensor.js';
import { openSubjects } from './openSubjects.js';
import { measureSubjects } from './subject.js';

const heads = { localProjector: [10, 12, 6], norm: 'layer' as const };

describe('the subjects of an evaluation', () => {
  let root: string;
  let model: ModelFolder;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-subjects-'));
    const like = { ...tinyManifest, files: {}, depths: [1, 1, 1, 1], widths: [4, 4, 8, 8], stride: 32, heads };
    await writeRandomModel(join(root, 'model'), like, 1);
    model = await openModelFolder(join(root, 'model'));
  });
  after(() => rm(root, { recursive: true }));
  const startEngine = (folder: ModelFolder) => createOnnxEngine(folder, { device: 'cpu', threads: 1 });

  it('are the model, the same network with random weights and pixels, with the needed stages in all of them', async () => {
    const scratch = await mkdtemp(join(root, 'scratch-'));
    const options = { startEngine, seed: 3, scratch, needs: { stages: true } };
    const sources = await openSubjects(model, ['random', 'pixels'], options);
    assert.deepEqual(
      sources.map(({ name }) => name),
      ['trained', 'random', 'pixels'],
    );
    assert.equal(new Set(sources.map(({ digest }) => digest)).size, 3);
    const images = tensor(
      'uint8',
      [1, 64, 64, 3],
      Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 37) % 251),
    );
    const wants = new Set<OutputName>(['maps', 'stage1', 'stage4', 'maps_embedding']);
    const means: number[] = [];
    for (const source of sources) {
      const subject = await source.open();
      const { maps, stage1, stage4, maps_embedding } = await subject.run(images, wants);
      for (const [found, side] of [
        [maps, 2],
        [stage1, 16],
        [stage4, 2],
        [maps_embedding, 2],
      ] as const) {
        assert.deepEqual(found!.shape.slice(0, 3), [1, side, side], source.name);
      }
      means.push(stage1!.data.reduce((sum, value) => sum + Math.abs(value)) / stage1!.data.length);
      await subject.close();
    }
    assert.notEqual(means[0], means[1]);
  });

  it('tell models of one name and version apart by their folders', async () => {
    const scratch = await mkdtemp(join(root, 'scratch-'));
    await writeRandomModel(join(root, 'b'), model.manifest, 2);
    const other = await openModelFolder(join(root, 'b'));
    const named = { ...other, manifest: { ...other.manifest, name: model.manifest.name } };
    const title = `${model.manifest.name} ${model.manifest.version}`;
    const namesOf = async (...models: ModelFolder[]) =>
      (
        await openSubjects(
          model,
          models.map((each) => ({ model: each })),
          { startEngine, seed: 3, scratch },
        )
      ).map(({ name }) => name);
    assert.deepEqual(await namesOf(model, named), ['trained', `${title} (${model.dir})`, `${title} (${other.dir})`]);
    assert.deepEqual(await namesOf(named), ['trained', title]);
    await assert.rejects(namesOf(model, model), /is given twice/);
  });

  it('are all checked before any of them is measured', async () => {
    const scratch = await mkdtemp(join(root, 'scratch-'));
    const sources = await openSubjects(model, ['pixels'], { startEngine, seed: 3, scratch });
    assert.deepEqual([sources[0]!.stride, sources[1]!.outputs.get('maps')?.stride], [32, 32]);
    let measured = 0;
    const check = ({ name }: { readonly name: string }) => {
      if (name === 'pixels') throw new Error('does not fit');
    };
    await assert.rejects(
      measureSubjects(sources, async () => measured++, check),
      /^Error: baseline pixels: does not fit$/,
    );
    assert.equal(measured, 0);
  });

  it('name the folder of a baseline that lacks what the evaluation needs', async () => {
    const scratch = await mkdtemp(join(root, 'scratch-'));
    const options = { startEngine, seed: 3, scratch, needs: { outputStride: 8 } };
    const resNet = { ...model, manifest: { ...model.manifest, stride: 8 } };
    await assert.rejects(openSubjects(resNet, [{ model }], options), (error: Error) => {
      assert.ok(error.message.startsWith(`--baseline ${model.dir}: `), error.message);
      assert.match(error.message, /output stride 8/);
      return true;
    });
  });

  it('reject a baseline that is given twice', async () => {
    const scratch = await mkdtemp(join(root, 'scratch-'));
    await assert.rejects(openSubjects(model, ['pixels', 'pixels'], { startEngine, seed: 3, scratch }), {
      message: /the baseline "pixels" is given twice/,
    });
  });
});
