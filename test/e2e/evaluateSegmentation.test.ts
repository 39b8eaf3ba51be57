import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { readResult } from '../../src/evaluate/result/readResult.js';
import { decodeMask } from '../../src/image/mask.js';
import { pngHeader } from '../../src/image/png.js';
import { writeRandomModel } from '../../src/models/randomModel.js';
import { tinyManifest } from '../support/tinyModel.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

const [width, height] = [72, 56];

/** Photographs of a dark and a bright part, of which the bright one is labelled 1. */
async function writeData(dir: string, count: number): Promise<void> {
  for (const folder of ['images', 'masks']) await mkdir(join(dir, folder), { recursive: true });
  for (let i = 0; i < count; i++) {
    const bright = Uint8Array.from({ length: width * height }, (_, at) => (at % width < 16 + 8 * (i % 5) ? 0 : 1));
    const raw = { raw: { width, height, channels: 1 as const } };
    await sharp(
      bright.map((value) => 50 + 150 * value + i),
      raw,
    )
      .png()
      .toFile(join(dir, 'images', `${i}.png`));
    await sharp(bright, raw)
      .toColourspace('b-w')
      .png()
      .toFile(join(dir, 'masks', `${i}.png`));
  }
}

describe('vicregl evaluate segmentation', () => {
  let root: string;
  let data: string;
  let model: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-segmentation-'));
    data = join(root, 'data');
    await writeData(data, 24);
    await writeFile(
      join(data, 'classes.json'),
      '[{"name": "dark", "colour": [10, 20, 30]}, {"name": "bright", "colour": [200, 100, 0]}]',
    );
    model = join(root, 'model');
    const like = {
      ...tinyManifest,
      files: {},
      depths: [1, 1],
      widths: [8, 16],
      stride: 8,
      heads: { localProjector: [10, 12, 6], norm: 'layer' as const },
    };
    await writeRandomModel(model, like, 1);
    await writeRandomModel(join(root, 'other'), like, 2);
  });
  after(() => rm(root, { recursive: true }));

  const evaluate = (...flags: string[]) =>
    vicregl(
      'evaluate',
      'segmentation',
      '--device',
      'cpu',
      '--threads',
      '1',
      '--model',
      model,
      '--crop',
      '32',
      '--batch',
      '4',
      '--steps',
      '80',
      '--lr',
      '0.02',
      ...flags,
    );

  it('measures a model and its baselines, draws pictures, and keeps the head, with which segment works', async () => {
    const [out, head, pictures] = [join(root, 'result.json'), join(root, 'head'), join(root, 'pictures')];
    const { code, stdout, stderr } = await evaluate(
      '--data',
      data,
      '--baseline',
      'random',
      '--baseline',
      'pixels',
      '--out',
      out,
      '--out-head',
      head,
      '--pictures',
      pictures,
    );
    assert.equal(code, 0, stderr);
    const printed = JSON.parse(stdout);
    const result = await readResult(out);
    assert.deepEqual(
      result.subjects.map(({ name }) => name),
      ['trained', 'random', 'pixels'],
    );
    assert.deepEqual(printed.options.layout, 'folder');
    const [trained] = result.subjects;
    assert.ok(trained!.figures[0]!.value! > 0.7, JSON.stringify(trained!.figures));
    assert.deepEqual(
      trained!.classes!.values.map(({ name }) => name),
      ['dark', 'bright'],
    );
    assert.equal(trained!.perItem!['image_miou']!.length, result.items!.length);
    assert.equal(result.comparisons.filter(({ figure }) => figure === 'miou').length, 2);
    assert.equal((await readdir(pictures)).length, result.items!.length);
    const picture = await sharp(join(pictures, (await readdir(pictures))[0]!)).metadata();
    assert.deepEqual([picture.width, picture.height], [3 * width + 16, height]);

    const photo = join(data, 'images', '3.png');
    const segment = (...flags: string[]) => vicregl('segment', photo, '--head', head, '--device', 'cpu', ...flags);
    const file = join(root, 'segmented.png');
    const ended = await segment('--model', model, '--out', file);
    assert.equal(ended.code, 0, ended.stderr);
    const bytes = await readFile(file);
    assert.equal(pngHeader(bytes).colour, 'palette');
    const { data: labels } = await decodeMask(bytes, { width, height });
    const { data: truth } = await decodeMask(await readFile(join(data, 'masks', '3.png')), { width, height });
    const right = labels.filter((label, i) => label === truth[i]).length / labels.length;
    assert.ok(right > 0.8, String(right));
    // Viewers see the colours of the classes.
    const { data: rgb } = await sharp(bytes).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    assert.deepEqual([...rgb.subarray(0, 3)], labels[0] === 0 ? [10, 20, 30] : [200, 100, 0]);
    const overlaid = await segment('--model', model, '--out', join(root, 'overlay.png'), '--overlay');
    assert.equal(overlaid.code, 0, overlaid.stderr);

    for (const [flags, message] of [
      [
        ['--model', join(root, 'other'), '--out', file],
        /was trained on the features of .*Give the folder of .* with --model, or train a head/,
      ],
      [['--out', file], /and the model is vicregl-resnet18-half/],
      [['--model', model, '--out', join(root, 'x.jpg')], /--out: ".*x\.jpg" must end in \.png/],
    ] as const) {
      const refused = await segment(...flags);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, message);
    }
  });

  it('sees photographs at another size, by the schedule that is asked for, and so does segment', async () => {
    const [out, head] = [join(root, 'resized.json'), join(root, 'resized-head')];
    const paper = ['--resize', 'shortest:112', '--decay-power', '1', '--warmup', '8', '--weight-decay', '0.05'];
    const ended = await evaluate('--data', data, ...paper, '--end-lr', '0.0001', '--out', out, '--out-head', head);
    assert.equal(ended.code, 0, ended.stderr);
    const { options, protocol } = await readResult(out);
    const { shortest, decayPower, warmupSteps, endLearningRate, weightDecay } = options;
    assert.deepEqual([shortest, decayPower, warmupSteps, endLearningRate, weightDecay], [112, 1, 8, 0.0001, 0.05]);
    assert.match(
      protocol,
      /weight decay 0\.05 of the kernel, .* of photographs resized to a shorter side of 112 px, learning rate 0\.02 with polynomial decay 1 to 0\.0001 after 8 steps of warm-up$/,
    );
    assert.equal(JSON.parse(await readFile(join(head, 'manifest.json'), 'utf8')).shortest, 112);
    const file = join(root, 'resized.png');
    const photo = join(data, 'images', '3.png');
    const flags = ['--head', head, '--model', model, '--device', 'cpu', '--out', file];
    const segmented = await vicregl('segment', photo, ...flags);
    assert.equal(segmented.code, 0, segmented.stderr);
    const { data: labels } = await decodeMask(await readFile(file), { width, height });
    const { data: truth } = await decodeMask(await readFile(join(data, 'masks', '3.png')), { width, height });
    const right = labels.filter((label, i) => label === truth[i]).length / labels.length;
    assert.ok(right > 0.8, String(right));

    const strip = join(root, 'strip.png');
    await sharp({ create: { width: 40_000, height: 2, channels: 3, background: 'grey' } })
      .png()
      .toFile(strip);
    const narrow = await vicregl('segment', strip, ...flags);
    assert.equal(narrow.code, 1);
    assert.match(
      narrow.stderr,
      /the head's shortest:112 makes 2240000 x 112 pixels of .*strip\.png, which has 40000 x 2; .*200 megapixels.*less narrow/,
    );

    for (const [wrong, message] of [
      [['--resize', 'fit:64x64'], /It must be native or shortest:SIDE/],
      [['--resize', 'shortest:64,32'], /It must be native or shortest:SIDE/],
      [['--warmup', '80'], /--warmup is 80, and --steps 80: it must be fewer/],
      [['--end-lr', '0.5'], /--end-lr is 0\.5, above the learning rate 0\.02/],
    ] as const) {
      const refused = await evaluate('--data', data, ...wrong);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, message);
    }
  });

  it('trains at a constant rate and without weight decay, with pictures of images whose paths differ by a / only', async () => {
    const [same, out, pictures] = [join(root, 'same'), join(root, 'constant.json'), join(root, 'same-pictures')];
    await writeData(same, 2);
    for (const part of ['images', 'masks']) {
      await mkdir(join(same, part, 'a'));
      await rename(join(same, part, '0.png'), join(same, part, 'a', 'b.png'));
      await rename(join(same, part, '1.png'), join(same, part, 'a_b.png'));
    }
    const zeros = ['--end-lr', '0', '--decay-power', '0', '--weight-decay', '0', '--steps', '2', '--baseline', 'none'];
    const ended = await evaluate('--data', data, '--test', same, ...zeros, '--out', out, '--pictures', pictures);
    assert.equal(ended.code, 0, ended.stderr);
    const { options, protocol, items } = await readResult(out);
    assert.deepEqual([options['decayPower'], options['weightDecay']], [0, 0]);
    assert.match(protocol, /weight decay 0 of the kernel.*polynomial decay 0$/);
    assert.equal(items!.length, 2);
    assert.deepEqual((await readdir(pictures)).toSorted(), ['1-images_a_b.png', '2-images_a_b.png']);
  });

  it('refuses what it cannot measure before it computes anything, and leaves nothing behind', async () => {
    const bad = join(root, 'bad');
    await writeData(bad, 6);
    await sharp(new Uint8Array(width * height).fill(7), { raw: { width, height, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toFile(join(bad, 'masks', '2.png'));
    await writeFile(join(bad, 'classes.txt'), 'dark\nbright\n');
    const few = join(root, 'few');
    await writeData(few, 2);
    for (const [flags, message] of [
      [['--data', bad, '--test', data], /masks\/2\.png has the label 7 at column 0, row 0, and there are 2 classes/],
      [['--data', few], /of the 2 images of .* fall into the part that is tested on .*--test/],
      [['--data', root], /none of the layouts/],
      [['--data', data, '--batch', '100000000'], /--batch is 100000000, and --crop 32: .*a batch of at most 97656, or/],
      [['--data', data, '--crop', '30'], /--crop is 30, not a multiple of the model's stride 8; use 24 or 32/],
      [['--data', data, '--random-scale', '2,0.5'], /--random-scale.*'2,0.5'.*two factors above 0 and at most 8/],
      [['--data', data, '--crop', '64', '--window', '48'], /--crop is 64, larger than --window 48/],
      [['--data', data, '--out-head', data], /--out-head: .*data exists already/],
      [['--data', data, '--lr', '1e30'], /lower the learning rate/],
    ] as const) {
      const head = join(root, 'never');
      const { code, stderr, stdout } = await evaluate(
        ...(flags.includes('--out-head' as never) ? [] : ['--out-head', head]),
        ...flags,
      );
      assert.equal(code, 1, flags.join(' '));
      assert.match(stderr, message);
      assert.equal(stdout, '');
      await assert.rejects(readdir(head), { code: 'ENOENT' });
    }
  });
});
