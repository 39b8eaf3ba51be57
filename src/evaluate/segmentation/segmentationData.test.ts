import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { encodePalettePng } from '../../image/png.js';
import { isTestName, type Layout, type LayoutOptions } from './layouts.js';
import { classesOfNumbers, openSegmentationData } from './segmentationData.js';

const [width, height] = [6, 4];
let root: string;
let made = 0;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-segmentation-'));
});
after(() => rm(root, { recursive: true }));

type Files = Readonly<Record<string, readonly number[] | string | Uint8Array>>;

const photograph = (seed: number, type: 'jpeg' | 'png' = 'jpeg') =>
  sharp({ create: { width, height, channels: 3, background: { r: (seed * 40) % 256, g: 99, b: 7 } } })
    .toFormat(type)
    .toBuffer();
/** A grey mask whose pixels take the numbers in turn. */
const grey = (numbers: readonly number[], size = { width, height }) =>
  sharp(
    Uint8Array.from({ length: size.width * size.height }, (_, i) => numbers[i % numbers.length]!),
    {
      raw: { ...size, channels: 1 },
    },
  )
    .toColourspace('b-w')
    .png()
    .toBuffer();
const palette = (numbers: readonly number[]) =>
  encodePalettePng(
    Uint8Array.from({ length: width * height }, (_, i) => numbers[i % numbers.length]!),
    { width, height },
    Array.from({ length: 256 }, (_, i) => [255 - i, 3, i] as const),
  );

/** A folder of files: numbers make a grey mask, text is written as it is, and images are made by their extension. */
async function folder(files: Files): Promise<string> {
  const dir = join(root, String(made++));
  let seed = made;
  for (const [name, content] of Object.entries(files)) {
    const path = join(dir, name);
    await mkdir(dirname(path), { recursive: true });
    const bytes =
      content === 'image'
        ? await photograph(seed++, name.endsWith('.png') ? 'png' : 'jpeg')
        : Array.isArray(content)
          ? await grey(content)
          : content;
    await writeFile(path, bytes as string | Uint8Array);
  }
  return dir;
}

const open = (dir: string, options: Partial<LayoutOptions> & { trainImages?: number } = {}) =>
  openSegmentationData(dir, { layout: 'auto', seed: 0, ...options });

/** Names, and the labels of the first six pixels of each mask. */
async function contents(dir: string, options: Partial<LayoutOptions> = {}) {
  const data = await open(dir, options);
  const labels = async (pairs: typeof data.train) =>
    Promise.all(pairs.map(async (pair) => [pair.name, [...(await data.labels(pair)).data.subarray(0, 6)]] as const));
  return {
    layout: data.layout,
    classes: data.classes.length,
    train: await labels(data.train),
    test: await labels(data.test),
  };
}

/** Two masks that hold all labels of a data set between them. */
const all = (count: number, first = 0) => Array.from({ length: count }, (_, i) => i + first);

describe('layouts of segmentation data', () => {
  it('CamVid: three parts of images and labels, 11 is ignored', async () => {
    const dir = await folder({
      'train/images/a.jpg': 'image',
      'train/labels/a.png': all(12),
      'test/images/b.jpg': 'image',
      'test/labels/b.png': [11, 3],
      'test/images/c.jpg': 'image',
      'test/labels/c.png': [255, 10],
      'val/images/d.jpg': 'image',
      'val/labels/d.png': [1],
      'val/images/e.jpg': 'image',
      'val/labels/e.png': [2],
    });
    const found = await contents(dir);
    assert.deepEqual([found.layout, found.classes], ['camvid', 11]);
    assert.deepEqual(found.test, [
      ['test/images/b.jpg', [255, 3, 255, 3, 255, 3]],
      ['test/images/c.jpg', [255, 10, 255, 10, 255, 10]],
    ]);
    assert.deepEqual(
      (await contents(dir, { testSplit: 'val' })).test.map(([name]) => name),
      ['val/images/d.jpg', 'val/images/e.jpg'],
    );
    await assert.rejects(
      open(dir, { testSplit: 'dev' }),
      /--test-split: there is no .*dev; choose from test, train, val/,
    );
  });

  it('test masks of which all pixels are ignored are an error that names one', async () => {
    const dir = await folder({
      'train/images/a.jpg': 'image',
      'train/labels/a.png': all(12),
      'test/images/b.jpg': 'image',
      'test/labels/b.png': [11, 255],
      'test/images/c.jpg': 'image',
      'test/labels/c.png': [255],
    });
    await assert.rejects(open(dir), { code: 'malformed', message: /none of the 2 test masks, such as .*b\.png, has/ });
  });

  it('VOC 2012: lists, palette masks, the border of 255 ignored, and the augmented masks where they are', async () => {
    const files = {
      'ImageSets/Segmentation/train.txt': 'a\n',
      'ImageSets/Segmentation/val.txt': 'b\nc\n',
      'JPEGImages/a.jpg': 'image',
      'JPEGImages/b.jpg': 'image',
      'JPEGImages/c.jpg': 'image',
      'JPEGImages/d.jpg': 'image',
      'SegmentationClass/a.png': palette(all(21)),
      'SegmentationClass/b.png': palette([0, 15, 255]),
      'SegmentationClass/c.png': palette([20]),
    };
    const found = await contents(await folder(files));
    assert.deepEqual([found.layout, found.classes], ['voc', 21]);
    assert.deepEqual(found.train, [['JPEGImages/a.jpg', [0, 1, 2, 3, 4, 5]]]);
    assert.deepEqual(found.test[0], ['JPEGImages/b.jpg', [0, 15, 255, 0, 15, 255]]);
    const augmented = await folder(
      Object.fromEntries(
        Object.entries({
          ...files,
          'ImageSets/Segmentation/trainaug.txt':
            '/JPEGImages/a.jpg /SegmentationClassAug/a.png\n/JPEGImages/d.jpg /SegmentationClassAug/d.png\n',
          'SegmentationClassAug/d.png': [3, 255],
        }).map(([name, content]) => [`VOCdevkit/VOC2012/${name}`, content]),
      ),
    );
    assert.deepEqual(
      (await contents(augmented)).train.map(([name]) => name),
      ['JPEGImages/a.jpg', 'JPEGImages/d.jpg'],
    );
    assert.deepEqual((await contents(augmented, { trainSplit: 'train' })).train.length, 1);
    await assert.rejects(
      open(augmented, { trainSplit: 'x' }),
      /--train-split: .*x\.txt cannot be read.*choose from train, trainaug, val/,
    );
    await assert.rejects(
      open(await folder({ ...files, 'ImageSets/Segmentation/val.txt': 'b\nd\n' })),
      /d\.jpg has no mask: neither .* val\.txt lists it/,
    );
  });

  it('Cityscapes: ids become the 19 classes, and files of train ids are taken as they are', async () => {
    const ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33];
    const city = (split: string, name: string, masks: Files): Files => ({
      [`leftImg8bit/${split}/ulm/${name}_leftImg8bit.png`]: 'image',
      ...Object.fromEntries(
        Object.entries(masks).map(([kind, numbers]) => [`gtFine/${split}/ulm/${name}_gtFine_${kind}.png`, numbers]),
      ),
    });
    const dir = await folder({
      ...city('train', 'u0', { labelIds: ids, instanceIds: 'not read', color: 'not read' }),
      ...city('val', 'u1', { labelIds: [0, 33, 9, 7] }),
      ...city('val', 'u2', { labelIds: [26, 255] }),
    });
    const found = await contents(dir);
    assert.deepEqual([found.layout, found.classes], ['cityscapes', 19]);
    assert.deepEqual(found.train[0]![1], [0, 1, 2, 3, 4, 5]);
    assert.deepEqual(found.test[0], ['leftImg8bit/val/ulm/u1_leftImg8bit.png', [255, 18, 255, 0, 255, 18]]);
    assert.deepEqual(found.test[1]![1], [13, 255, 13, 255, 13, 255]);
    const trainIds = await folder({
      ...city('train', 'u0', { labelTrainIds: all(19), labelIds: [0] }),
      ...city('val', 'u1', { labelTrainIds: [18, 255] }),
      ...city('val', 'u2', { labelTrainIds: [1] }),
    });
    assert.deepEqual((await contents(trainIds)).test[0]![1], [18, 255, 18, 255, 18, 255]);
    const wrong = await folder({
      ...city('train', 'u0', { labelIds: ids }),
      ...city('val', 'u1', { labelIds: [34] }),
      ...city('val', 'u2', { labelIds: [1] }),
    });
    await assert.rejects(
      open(wrong),
      /u1_gtFine_labelIds\.png has the label 34 at column 0, row 0, and there are 19 classes/,
    );
  });

  it('ADE20K: 0 is ignored, and labels are one less than the numbers', async () => {
    const numbers = all(151);
    const parts = Array.from({ length: 7 }, (_, i) => numbers.slice(i * 24, (i + 1) * 24));
    const dir = await folder({
      ...Object.fromEntries(
        parts.flatMap((part, i) => [
          [`ADEChallengeData2016/images/training/t${i}.jpg`, 'image'],
          [`ADEChallengeData2016/annotations/training/t${i}.png`, part],
        ]),
      ),
      'ADEChallengeData2016/images/validation/v0.jpg': 'image',
      'ADEChallengeData2016/annotations/validation/v0.png': [0, 1, 150],
      'ADEChallengeData2016/images/validation/v1.jpg': 'image',
      'ADEChallengeData2016/annotations/validation/v1.png': [2],
    });
    const found = await contents(dir);
    assert.deepEqual([found.layout, found.classes, found.train.length], ['ade20k', 150, 7]);
    assert.deepEqual(found.test[0], ['images/validation/v0.jpg', [255, 0, 149, 255, 0, 149]]);
    const data = await open(dir);
    assert.deepEqual([data.classes[0]!.name, data.classes[149]!.name], ['wall', 'flag']);
  });

  it('a plain folder of more images than a call has room for arguments', () => {
    const pairs = Array.from({ length: 300_000 }, (_, i) => ({ mask: `${i}.png`, numbers: new Set([255, i % 4]) }));
    assert.deepEqual(
      classesOfNumbers('dir', pairs).map(({ name }) => name),
      ['0', '1', '2', '3'],
    );
    assert.throws(() => classesOfNumbers('dir', [{ mask: 'a.png', numbers: new Set([255]) }]), /only 255/);
  });

  it('a plain folder: classes by the highest label or by name, split by the hash of the names or by --test', async () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'];
    const pairs = (of: readonly string[], numbers: readonly number[] = [0, 2, 1]): Files =>
      Object.fromEntries(
        of.flatMap((name) => [
          [`images/${name}.jpg`, 'image'],
          [`masks/${name}.png`, numbers],
        ]),
      );
    const dir = await folder(pairs(names));
    const found = await contents(dir);
    assert.deepEqual([found.layout, found.classes], ['folder', 3]);
    assert.deepEqual(
      found.test.map(([name]) => name),
      names.filter((name) => isTestName(`${name}.png`)).map((name) => `images/${name}.jpg`),
    );
    assert.equal(found.train.length + found.test.length, names.length);
    assert.ok(found.test.length >= 2);

    const named = await folder({ ...pairs(['a', 'b'], [0, 1, 255]), 'classes.txt': 'ground\nhorse\n' });
    const test = await folder({
      ...pairs(['c', 'd'], [1, 0]),
      'classes.json': '\uFEFF[{"name": "ground", "colour": [1, 2, 3]}, "horse"]',
    });
    const data = await open(named, { test });
    assert.deepEqual(
      [data.classes.map(({ name }) => name), data.train.length, data.test.length],
      [['ground', 'horse'], 2, 2],
    );
    const other = await folder({ ...pairs(['c', 'd'], [1, 0]), 'classes.json': '["ground", "cow"]' });
    await assert.rejects(
      open(named, { test: other }),
      /--test: the classes of .* \(ground, cow\) are not those of .* \(ground, horse\)/,
    );
    assert.match(
      (await open(named, { test: named })).notes[0]!,
      /2 of 2 test images are also training images .*: the figures are too high/,
    );
    await assert.rejects(open(named, { test, testSplit: 'val' }), /--test-split: a plain folder has no named parts/);
  });

  it('that are none are refused with what is there and what each layout holds', async () => {
    await assert.rejects(
      open(await folder({ 'photos/a.jpg': 'image' })),
      /holds photos, which is none of the layouts; .*cityscapes: leftImg8bit, gtFine; .*folder: images, masks/,
    );
    await assert.rejects(
      open(await folder({ 'images/a.jpg': 'image', 'masks/a.png': [0, 1] }), { layout: 'voc' as Layout }),
      /not the layout voc/,
    );
    await assert.rejects(open(join(root, 'nowhere')), /--data: .*nowhere is not a folder/);
  });
});

describe('masks', () => {
  /** A folder to train on, with one more pair. */
  const withMask = async (mask: readonly number[] | Uint8Array | string, more: Files = {}) => {
    const dir = await folder({ 'images/a.jpg': 'image', 'masks/a.png': mask, 'classes.txt': 'x\ny', ...more });
    const test = await folder({
      'images/t.jpg': 'image',
      'masks/t.png': [0, 1],
      'images/u.jpg': 'image',
      'masks/u.png': [0, 1],
    });
    return open(dir, { test });
  };

  it('of 1, 2 and 4 bits have the numbers of their file', async () => {
    for (const colours of [2, 4, 16]) {
      const indices = Uint8Array.from({ length: width * height }, (_, i) => i % 2);
      const rgb = Uint8Array.from([...indices].flatMap((index) => [index * 255, 0, 0]));
      const packed = await sharp(rgb, { raw: { width, height, channels: 3 } })
        .png({ palette: true, colours })
        .toBuffer();
      const data = await withMask(packed);
      const { data: labels } = await data.labels(data.train[0]!);
      // sharp orders its palette itself: two numbers in turn.
      assert.deepEqual([labels[0]! + labels[1]!, labels[0], labels[1]], [1, labels[2], labels[3]]);
    }
  });

  it('that were saved as RGB have the numbers of their three equal channels', async () => {
    const rgb = Uint8Array.from({ length: width * height * 3 }, (_, i) => Math.floor(i / 3) % 2);
    const data = await withMask(
      await sharp(rgb, { raw: { width, height, channels: 3 } })
        .png()
        .toBuffer(),
    );
    const { data: labels } = await data.labels(data.train[0]!);
    assert.deepEqual(
      [...labels],
      Array.from({ length: width * height }, (_, i) => i % 2),
    );
  });

  it('that do not fit are refused with their file', async () => {
    const rgb = await sharp({ create: { width, height, channels: 3, background: '#102030' } })
      .png()
      .toBuffer();
    const wide = await sharp(new Uint16Array(width * height), { raw: { width, height, channels: 1 } })
      .toColourspace('grey16')
      .png()
      .toBuffer();
    const jpeg = await photograph(1);
    const whole = await grey([0, 1]);
    for (const [mask, message] of [
      [[0, 1, 2], /a\.png has the label 2 at column 2, row 0, and there are 2 classes/],
      [await grey([0, 1], { width: 4, height: 6 }), /a\.png is a mask of 4 x 6 pixels, and its image has 6 x 4/],
      [rgb, /a\.png is RGB, with several values a pixel/],
      [wide, /a\.png has 16 bits a pixel/],
      [jpeg, /a\.png: it is not a PNG file/],
      [whole.subarray(0, whole.length - 30), /a\.png: .*damaged/],
      [[0, 255], /no training mask has the class "y" \(label 1\), and the test mask .*t\.png has it/],
    ] as const) {
      await assert.rejects(withMask(mask), { name: 'DataError', message });
    }
    await assert.rejects(withMask([0, 1], { 'images/b.jpg': 'image' }), /b\.jpg has no mask in .*masks/);
    await assert.rejects(withMask([0, 1], { 'masks/b.png': [0, 1] }), /b\.png has no image in .*images/);
    await assert.rejects(
      withMask([0, 1], { 'images/a.png': 'image' }),
      /has a\.jpg and a\.png, which belong to one pair/,
    );
    await assert.rejects(withMask([0, 1], { 'images/b.jpg': 'no image', 'masks/b.png': [0, 1] }), /b\.jpg: image/);
  });

  it('of 0 and 255 alone, and lists of classes that cannot be understood, are refused', async () => {
    const pairs = {
      'images/a.jpg': 'image',
      'masks/a.png': [0, 255],
      'images/b.jpg': 'image',
      'masks/b.png': [0, 255],
    } as const;
    const dir = await folder(pairs);
    await assert.rejects(
      open(dir, { test: dir }),
      /have the label 0 and nothing else but 255, .*save masks of 0 and 255 as 0 and 1/,
    );
    for (const [list, message] of [
      [{ 'classes.txt': 'a\n\nb\n' }, /line 2 is empty/],
      [{ 'classes.txt': 'a\na\n' }, /the class "a" twice/],
      [{ 'classes.txt': 'a\n' }, /has 1 classes; there must be 2 to 255/],
      [{ 'classes.json': '{' }, /classes\.json is not JSON/],
      [{ 'classes.json': '{"a": 1}' }, /must be a list of names/],
      [{ 'classes.json': '["a", "b"]', 'classes.txt': 'a\nb' }, /has classes\.txt and classes\.json; remove one/],
    ] as const) {
      await assert.rejects(open(await folder({ ...pairs, ...list })), { name: 'DataError', message });
    }
  });

  it('of a part of the training images may lack a class, with a warning', async () => {
    const train = await folder({
      'images/a.jpg': 'image',
      'masks/a.png': [0, 1],
      'images/b.jpg': 'image',
      'masks/b.png': [0, 2],
    });
    const data = await open(train, { test: train, trainImages: 1 });
    assert.equal(data.train.length, 1);
    assert.match(data.notes[0]!, /warning: no training mask has the class .* more training images \(--train-images\)/);
  });
});
