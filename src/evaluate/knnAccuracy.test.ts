import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { writeColouredImages } from '../../test/support/colouredImages.js';
import { tinyManifest } from '../../test/support/tinyModel.js';
import { openImageSource } from '../data/sources.js';
import { createFakeEngine } from '../engine/fakeEngine.js';
import { type ModelFolder, openModelFolder } from '../models/folder.js';
import { writeRandomModel } from '../models/randomModel.js';
import { type LabelledSplit, splitLabelled } from '../probe/labelledImages.js';
import { compareKnnWithRandom } from './knnAccuracy.js';

const options = { k: 3, temperature: 0.07, resize: 32, crop: 32, seed: 2 };

describe('k-NN accuracy of a model', () => {
  let root: string;
  let model: ModelFolder;
  let split: LabelledSplit;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-knn-'));
    // A model of the global loss alone has no local projector.
    const backbone = { depths: [1, 1, 1, 1], widths: [4, 4, 8, 8], stride: 32, heads: { norm: 'layer' as const } };
    await writeRandomModel(join(root, 'model'), { ...tinyManifest, files: {}, ...backbone }, 1);
    model = await openModelFolder(join(root, 'model'));
    await writeColouredImages(join(root, 'images'), 10);
    await writeFile(join(root, 'images', 'red', 'broken.png'), 'no image');
    const source = await openImageSource(join(root, 'images'), { labels: 'auto' });
    split = splitLabelled(source, undefined, { trainImages: 100, testImages: 100, seed: 2 });
  });
  after(() => rm(root, { recursive: true }));

  it('is that of neighbours by representation, beside random weights on the same images; engines are closed', async () => {
    const started: ModelFolder[] = [];
    let closed = 0;
    const { trained, random, gainInterval } = await compareKnnWithRandom(
      model,
      split,
      async (folder) => {
        started.push(folder);
        return { ...createFakeEngine({ manifest: folder.manifest }), close: async () => void closed++ };
      },
      options,
    );
    // The fake engine's representation is the mean colour, which tells the classes apart.
    assert.deepEqual([trained.top1, trained.top5, trained.interval1], [1, 1, [1, 1]]);
    assert.equal(trained.trainImages + trained.testImages, 20);
    assert.deepEqual(
      trained.skipped.map(({ name }) => name),
      ['red/broken.png'],
    );
    assert.deepEqual(random.right, trained.right);
    assert.deepEqual(gainInterval, [0, 0]);
    assert.equal(closed, 2);
    assert.equal(started[0], model);
    assert.equal(started[1]!.manifest.training['note'], 'initial weights of seed 2, untrained');
  });

  it('wrong labels are wrong answers', async () => {
    const swapped = { ...split, test: { ...split.test, labels: split.test.labels.map((label) => 1 - label) } };
    const start = async ({ manifest }: ModelFolder) => createFakeEngine({ manifest });
    const { trained } = await compareKnnWithRandom(model, swapped, start, options);
    assert.deepEqual([trained.top1, trained.top5], [0, 1]);
  });

  it('a size that does not fit the model is refused before an engine starts', async () => {
    const start = () => Promise.reject(new Error('started'));
    await assert.rejects(compareKnnWithRandom(model, split, start, { ...options, crop: 40, resize: 40 }), {
      name: 'ImageError',
      message: /crop is 40, not a multiple of the model's stride 32/,
    });
  });
});
