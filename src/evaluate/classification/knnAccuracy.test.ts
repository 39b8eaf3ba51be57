import assert from 'node:assert/strict';
import { copyFile, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { writeColouredImages } from '../../../test/support/colouredImages.js';
import { openImageSource } from '../../data/sources.js';
import { type LabelledSplit, splitLabelled } from '../../probe/labelledImages.js';
import { silentProgress } from '../../progress/work.js';
import { featureCache } from '../featureCache.js';
import { buildResult } from '../result/buildResult.js';
import { pixelSubject } from '../subjects/pixelSubject.js';
import { measureSubjects, type Subject } from '../subjects/subject.js';
import { embeddedNames, embedSplit } from './embedSplit.js';
import { knnAccuracy, requireNeighbours } from './knnAccuracy.js';

const sizes = { resize: 32, crop: 32 };
const pixels = pixelSubject(new Map([['maps', 32]]));

describe('k-NN accuracy of a subject', () => {
  let root: string;
  let split: LabelledSplit;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-knn-'));
    await writeColouredImages(join(root, 'images'), 10);
    await writeFile(join(root, 'images', 'red', 'broken.png'), 'no image');
    const source = await openImageSource(join(root, 'images'), { labels: 'auto' });
    split = splitLabelled(source, undefined, { trainImages: 100, testImages: 100, seed: 2 });
  });
  after(() => rm(root, { recursive: true }));

  const measure = async (of: LabelledSplit) => {
    const [measured] = await measureSubjects([pixels], async (subject, source) => {
      const embedded = await embedSplit(subject, source, of, { ...sizes, cache: featureCache(undefined) });
      return { embedded, ...(await knnAccuracy(source, embedded, { k: 3, temperature: 0.07, classes: 2 })) };
    });
    return measured!;
  };

  it('is that of neighbours by representation; broken images are skipped, top-5 of two classes is left out', async () => {
    const { embedded, figures } = await measure(split);
    assert.deepEqual(
      [...embedded.train.skipped, ...embedded.test.skipped].map(({ name }) => name),
      ['red/broken.png'],
    );
    assert.equal(embedded.train.labels.length + embedded.test.labels.length, 20);
    const result = buildResult({
      kind: 'knn',
      protocol: '',
      command: [],
      seed: 0,
      options: {},
      data: [],
      items: embeddedNames(split.test, embedded.test),
      sources: [pixels],
      measures: [{ figures }],
      began: 0,
    });
    assert.deepEqual(
      result.subjects[0]!.figures.map(({ name, value, interval }) => [name, value, interval]),
      [['top1', 1, [1, 1]]],
    );
    assert.deepEqual(result.subjects[0]!.perItem, { top1: Array(result.items!.length).fill(1) });
  });

  it('names --k and a broken image where fewer neighbours are left, before test images are embedded', async () => {
    const k = split.train.indices.length;
    const [measured] = await measureSubjects([pixels], (subject, source) =>
      embedSplit(subject, source, split, { ...sizes, cache: featureCache(undefined) }),
    );
    const broken = measured!.train.skipped.length > 0 ? measured! : undefined;
    assert.ok(broken, 'the broken image is one of the training images');
    const message = new RegExp(
      `^--k is ${k}, and only ${k - 1} training images can be used: 1 cannot be decoded, such as red/broken.png: .*; use at most ${k - 1}, repair them, or give more images$`,
    );
    let advanced = 0;
    const progress = {
      ...silentProgress,
      advance(units = 1) {
        advanced += units;
      },
    };
    const checked = measureSubjects([pixels], (subject, source) =>
      embedSplit(subject, source, split, {
        ...sizes,
        cache: featureCache(undefined),
        progress,
        checkTrain: (train) => requireNeighbours(train, k),
      }),
    );
    await assert.rejects(checked, { name: 'DataError', code: 'undecodable', message });
    assert.equal(advanced, k);
    await assert.rejects(knnAccuracy(pixels, broken, { k, temperature: 0.07, classes: 2 }), { message });
  });

  it('counts wrong labels as wrong answers', async () => {
    const swapped = { ...split, test: { ...split.test, labels: split.test.labels.map((label) => 1 - label) } };
    const { figures } = await measure(swapped);
    assert.equal(figures[0]!.over(Uint32Array.of(0, 1, 2)), 0);
  });

  it('rejects a size that does not fit the subject before an image is read', async () => {
    await assert.rejects(
      measureSubjects([pixels], (subject, source) =>
        embedSplit(subject, source, split, { resize: 40, crop: 40, cache: featureCache(undefined) }),
      ),
      { name: 'ImageError', message: /crop is 40, not a multiple of the model's stride 32/ },
    );
  });

  it('takes representations from the cache instead of computing them, skipped images included', async () => {
    const cache = featureCache(join(root, 'cache'));
    let runs = 0;
    const counted = (subject: Subject): Subject => ({
      ...subject,
      run(...args) {
        runs++;
        return subject.run(...args);
      },
    });
    const embed = () =>
      measureSubjects([pixels], (subject, source) => embedSplit(counted(subject), source, split, { ...sizes, cache }));
    const [first] = await embed();
    const computed = runs;
    assert.ok(computed > 0);
    const [second] = await embed();
    assert.equal(runs, computed);
    assert.deepEqual(second, first);
  });

  it('computes an image again that has changed under the same name, or that was broken and is repaired', async () => {
    const images = join(root, 'changing');
    await writeColouredImages(images, 4);
    await writeFile(join(images, 'red', 'broken.png'), 'no image');
    const cache = featureCache(join(root, 'changing-cache'));
    const embed = async (of: typeof cache) => {
      const source = await openImageSource(images, { labels: 'auto' });
      const own = splitLabelled(source, undefined, { trainImages: 100, testImages: 100, seed: 2 });
      const [found] = await measureSubjects([pixels], (subject, from) =>
        embedSplit(subject, from, own, { ...sizes, cache: of }),
      );
      return found!;
    };
    const before = await embed(cache);
    const name = (await readdir(join(images, 'blue')))[0]!;
    await copyFile(join(images, 'blue', name), join(images, 'red', 'broken.png'));
    await writeFile(join(images, 'blue', name), 'no image');
    const after = await embed(cache);
    assert.notDeepEqual(after, before);
    assert.deepEqual(after, await embed(featureCache(undefined)));
  });
});
