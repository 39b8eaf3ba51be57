import assert from 'node:assert/strict';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { writeColouredImages } from '../../../../test/support/colouredImages.js';
import { openImageSource } from '../../../data/sources.js';
import { type LabelledSplit, splitLabelled } from '../../../probe/labelledImages.js';
import { featureCache } from '../../featureCache.js';
import { pixelSubject } from '../../subjects/pixelSubject.js';
import type { Subject } from '../../subjects/subject.js';
import { heldOutPlaces, imagesAt } from '../trainSubset.js';
import { randomCropFeatures } from './epochFeatures.js';
import { type LinearAccuracyOptions, linearAccuracy } from './linearAccuracy.js';

const pixels = pixelSubject(new Map([['maps', 32]]));
const options: LinearAccuracyOptions = {
  resize: 32,
  crop: 32,
  quick: false,
  epochs: 4,
  batchSize: 8,
  learningRates: [0.05],
  momentum: 0.9,
  weightDecay: 1e-6,
  seeds: 2,
  seed: 3,
  saveSeconds: 0,
  session: { threads: 1 },
  cache: featureCache(undefined),
};

describe('linear accuracy of a subject', () => {
  let root: string;
  let split: LabelledSplit;
  let subject: Subject;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-linear-'));
    await writeColouredImages(join(root, 'images'), 20);
    await writeFile(join(root, 'images', 'red', 'broken.png'), 'no image');
    const source = await openImageSource(join(root, 'images'), { labels: 'auto' });
    split = splitLabelled(source, undefined, { trainImages: 100, testImages: 100, seed: 2 });
    subject = await pixels.open();
  });
  after(() => rm(root, { recursive: true }));

  const measure = (changed: Partial<LinearAccuracyOptions> = {}, by: Subject = subject) =>
    linearAccuracy(by, pixels, split, { ...options, ...changed });
  /** What a result has of a measure: functions cannot be compared. */
  const values = ({ figures, curves, learningRate }: Awaited<ReturnType<typeof measure>>) => ({
    figures: figures.map(({ name, perItem }) => [name, [...Array.from(perItem!)]]),
    curves,
    learningRate,
  });
  const interrupted = (after_: number): Subject => {
    let runs = 0;
    return {
      ...subject,
      run: (...args) => (++runs > after_ ? Promise.reject(new Error('interrupted')) : subject.run(...args)),
    };
  };

  for (const quick of [false, true]) {
    it(`is that of classifiers on ${quick ? 'stored features' : 'random crops'}; broken images are skipped`, async () => {
      const found = await measure({ quick });
      assert.equal(found.figures.length, 1);
      // Features of one subject do not stay until the last is measured.
      assert.deepEqual(Object.keys(found.test), ['labels', 'skipped']);
      assert.ok(found.figures[0]!.over(Uint32Array.from(found.test.labels, (_, i) => i)) > 0.9);
      const skipped = [...found.train.skipped, ...found.test.skipped].map(({ name }) => name);
      assert.deepEqual(skipped, ['red/broken.png']);
      assert.equal(found.train.labels.length + found.test.labels.length, 40);
      const [loss, bySeed] = found.curves!;
      assert.equal(loss!.y.values.length, 4);
      assert.ok(loss!.y.values[3]! < loss!.y.values[0]!);
      assert.deepEqual([bySeed!.name, bySeed!.x.values], ['top1_by_seed', [0, 1]]);
    });
  }

  it('goes on at the last finished epoch after an interruption, with the numbers of an uninterrupted one', async () => {
    const whole = await measure();
    const cache = featureCache(join(root, 'cache'));
    // The test images take a run, each epoch of 33 images two.
    await assert.rejects(measure({ cache }, interrupted(1 + 2 * 2 + 1)), /interrupted/);
    let runs = 0;
    const counting: Subject = {
      ...subject,
      run: (...args) => {
        runs++;
        return subject.run(...args);
      },
    };
    const resumed = await measure({ cache }, counting);
    assert.equal(runs, 2 * 2);
    assert.deepEqual(values(resumed), values(whole));
    assert.deepEqual(resumed.train, whole.train);
    // A finished evaluation is not repeated.
    await measure({ cache }, interrupted(0));
    // Other options are another training.
    await assert.rejects(measure({ cache, epochs: 5 }, interrupted(0)), /interrupted/);
  });

  it('takes the learning rate that is best on held-out training images', async () => {
    for (const quick of [false, true]) {
      const found = await measure({ quick, learningRates: [1e-9, 0.05], seeds: 1 });
      const curve = found.curves!.find(({ name }) => name === 'held_out_top1')!;
      assert.deepEqual(curve.x.values, [1e-9, 0.05]);
      assert.ok(curve.y.values[1]! >= curve.y.values[0]!);
      assert.equal(found.learningRate, curve.y.values[1] === curve.y.values[0] ? 1e-9 : 0.05);
      // The heads that are measured learn from all images, as they do without a choice.
      const alone = await measure({ quick, learningRates: [found.learningRate], seeds: 1 });
      assert.deepEqual(values(found).figures, values(alone).figures);
    }
  });

  it('says which learning rate diverges, and does without it where there are others', async () => {
    await assert.rejects(measure({ learningRates: [1e30] }), {
      name: 'DivergedError',
      message: /pixels: the linear head diverged in epoch \d+ with a learning rate of 1e\+30: .* use a lower --lr/,
    });
    const found = await measure({ learningRates: [0.05, 1e30] });
    assert.equal(found.learningRate, 0.05);
    assert.equal(found.curves!.find(({ name }) => name === 'held_out_top1')!.y.values[1], null);
  });

  it('names a held-out image where none of them can be decoded to choose a learning rate', async () => {
    const { train } = split;
    const held = new Set(imagesAt(train, heldOutPlaces(train, 2, options.seed)).indices);
    const read = (index: number) =>
      held.has(index) ? Promise.resolve(Buffer.from('no image')) : train.source.read(index);
    const broken = { ...split, train: { ...train, source: { ...train.source, read } } };
    // The random crops are read by other threads, from the files, and do not matter here.
    const found = linearAccuracy(subject, pixels, broken, { ...options, quick: true, learningRates: [0.1, 0.05] });
    await assert.rejects(found, {
      name: 'DataError',
      code: 'undecodable',
      message: new RegExp(
        `^none of the ${held.size} training images that are held out to choose a learning rate can be decoded, such as .*\\.png: .*; repair them, or give --lr once$`,
      ),
    });
    const cropped = linearAccuracy(subject, pixels, broken, { ...options, learningRates: [0.1, 0.05] });
    await assert.rejects(cropped, { name: 'DataError', message: /^none of the \d+ training images that are held out/ });
  });

  it('refuses a training image that changes between two subjects', async () => {
    const file = join(root, 'images', 'red', '1.png');
    const before = await readFile(file);
    const source = await openImageSource(join(root, 'images'), { labels: 'auto' });
    const own = splitLabelled(source, undefined, { trainImages: 100, testImages: 2, seed: 2 });
    await linearAccuracy(subject, pixels, own, { ...options, epochs: 1 });
    await copyFile(join(root, 'images', 'red', '2.png'), file);
    try {
      const again = linearAccuracy(subject, pixels, own, { ...options, epochs: 1 });
      await assert.rejects(again, { name: 'DataError', code: 'changed', message: /^red\/1\.png has changed/ });
    } finally {
      await writeFile(file, before);
    }
  });

  it('refuses fewer than two test images', async () => {
    const one = { ...split.test, indices: split.test.indices.slice(0, 1), labels: split.test.labels.slice(0, 1) };
    await assert.rejects(linearAccuracy(subject, pixels, { ...split, test: one }, options), /an interval needs two/);
  });

  it('has the same crops in windows of any size, and all images in each epoch', async () => {
    const rowsOf = async (windowBytes: number) => {
      const features = randomCropFeatures(subject, split.train, { crop: 32, seed: 1, batchSize: 8, windowBytes });
      const rows: { place: number; label: number; row: Float32Array }[] = [];
      let windows = 0;
      try {
        for await (const window of features.epoch(1)) {
          windows++;
          for (let i = 0; i < window.count; i++) {
            rows.push({ place: window.places[i]!, label: window.labels[i]!, row: window.rowOf(i) });
          }
        }
      } finally {
        await features.close();
      }
      return { rows, windows, skipped: features.skipped() };
    };
    const [whole, parts] = [await rowsOf(2 ** 28), await rowsOf(16 * 768 * 4)];
    assert.deepEqual([whole.windows, parts.windows], [1, 3]);
    assert.deepEqual(parts.rows, whole.rows);
    for (const { place, label } of whole.rows) assert.equal(label, split.train.labels[place]);
    // All but the broken one, in whose place another stands.
    assert.equal(whole.rows.length, split.train.indices.length);
    assert.equal(new Set(whole.rows.map(({ place }) => place)).size, split.train.indices.length - whole.skipped.length);
  });
});
