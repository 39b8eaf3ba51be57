import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readResult } from '../../src/evaluate/result/readResult.js';
import { writeColouredImages } from '../support/colouredImages.js';
import { tinyConfig, trainTiny, writePhotographs } from '../support/tinyRun.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

describe('linear and retrieval evaluation of labelled images', () => {
  let root: string;
  let labelled: string;
  let other: string;
  let run: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-linear-'));
    labelled = join(root, 'labelled');
    other = join(root, 'other');
    run = join(root, 'run');
    await writeColouredImages(labelled, 15);
    await writeColouredImages(other, 3);
    const photographs = join(root, 'photographs');
    await writePhotographs(photographs, ['0.jpg', '1.jpg', '2.jpg', '3.jpg']);
    await trainTiny(run, tinyConfig(photographs));
  });
  after(() => rm(root, { recursive: true }));

  const evaluate = (kind: string, ...flags: string[]) =>
    vicregl('evaluate', kind, '--run', run, '--device', 'cpu', ...flags);
  const linear = (...flags: string[]) =>
    evaluate('linear', '--train', labelled, '--epochs', '3', '--batch', '8', '--baseline', 'pixels', ...flags);

  for (const form of ['default', 'quick'] as const) {
    it(`vicregl evaluate linear, ${form}: accuracy with interval, baseline, seeds and curves`, async () => {
      const out = join(root, `${form}.json`);
      const cache = join(root, `cache-${form}`);
      const flags = ['--seeds', '2', '--lr', '0.05', '--lr', '0.1', '--out', out, '--cache', cache];
      const { code, stdout, stderr } = await linear(...flags, ...(form === 'quick' ? ['--quick'] : []));
      assert.equal(code, 0, stderr);
      const { options, subjects, comparisons, data } = JSON.parse(stdout);
      assert.deepEqual(
        [options.quick, options.trainPercent, options.epochs, options.batch, options.learningRates, options.seeds],
        [form === 'quick', 100, 3, 8, [0.05, 0.1], 2],
      );
      assert.deepEqual(Object.keys(options.chosenLearningRates), ['trained', 'pixels']);
      assert.deepEqual(
        subjects.map(({ name, curves }: { name: string; curves: { name: string }[] }) => [
          name,
          curves.map((curve) => curve.name),
        ]),
        ['trained', 'pixels'].map((name) => [name, ['training_loss', 'top1_by_seed', 'held_out_top1']]),
      );
      assert.deepEqual(
        data.map(({ role, images }: { role: string; images: number }) => [role, images]),
        [
          ['train', 24],
          ['test', 6],
        ],
      );
      // Colours are all that the images have: pixels tell them apart.
      assert.ok(subjects[1].figures[0].value > 0.9);
      assert.deepEqual([comparisons[0].figure, comparisons[0].baseline], ['top1', 'pixels']);
      const file = await readResult(out);
      assert.deepEqual([file.kind, file.items!.length], ['linear', 6]);
      // A second time from the cache, with the same figures.
      const again = await linear(...flags, ...(form === 'quick' ? ['--quick'] : []));
      assert.deepEqual(JSON.parse(again.stdout).subjects, subjects);
    });
  }

  it('trains on a share of each class', async () => {
    const { stdout, stderr, code } = await linear('--quick', '--train-percent', '50', '--test', other);
    assert.equal(code, 0, stderr);
    const { data, options } = JSON.parse(stdout);
    assert.deepEqual([data[0].images, data[1].images, options.trainPercent], [16, 6, 50]);
  });

  it('vicregl evaluate retrieval: among training images, and of images among each other', async () => {
    const baseline = ['--baseline', 'pixels', '--k', '1', '--k', '5'];
    const out = join(root, 'retrieval.json');
    const first = await evaluate('retrieval', '--train', labelled, '--test', other, '--out', out, ...baseline);
    assert.equal(first.code, 0, first.stderr);
    const second = await evaluate('retrieval', '--images', other, ...baseline);
    assert.equal(second.code, 0, second.stderr);
    for (const { stdout } of [first, second]) {
      const { subjects, kind, options } = JSON.parse(stdout);
      assert.deepEqual([kind, options.k, options.unanswerable], ['retrieval', [1, 5], 0]);
      for (const { figures } of subjects) {
        assert.deepEqual(
          figures.map(({ name }: { name: string }) => name),
          ['map', 'recall1', 'recall5'],
        );
      }
      assert.equal(subjects[1].figures[0].value, 1);
    }
    assert.match(JSON.parse(second.stdout).protocol, /each image among the others/);
    assert.equal((await readResult(out)).items!.length, 6);
    assert.deepEqual(JSON.parse(await readFile(out, 'utf8')).data.length, 2);
  });

  it('vicregl evaluate retrieval leaves out and counts queries of a class that the gallery lacks', async () => {
    const mixed = join(root, 'mixed');
    await cp(other, mixed, { recursive: true });
    await cp(join(other, 'red'), join(mixed, 'green'), { recursive: true });
    const out = join(root, 'mixed.json');
    const flags = ['--train', labelled, '--test', mixed, '--out', out, '--baseline', 'pixels'];
    const { code, stdout, stderr } = await evaluate('retrieval', ...flags);
    assert.equal(code, 0, stderr);
    const { options, notes } = JSON.parse(stdout);
    assert.deepEqual([options.unanswerable, options.classes], [3, 3]);
    assert.ok(notes.includes('3 images have no other of their class to be found, and are left out'), String(notes));
    const { items } = await readResult(out);
    assert.equal(items!.length, 6);
    assert.ok(items!.every((name) => !name.startsWith('green/')));
  });

  it('names what is missing or does not go together', async () => {
    const unlabelled = join(root, 'photographs');
    for (const [kind, flags, message] of [
      ['linear', [], /required option '--train <path>' not specified/],
      ['linear', ['--train', unlabelled], /--train: labels are required, but 0\.jpg is at the top level of/],
      ['linear', ['--train', labelled, '--train-percent', '0'], /It must be a number above 0, and at most 100/],
      [
        'linear',
        ['--train', labelled, '--train-percent', '1'],
        /--train-percent 1 leaves the class "(red|blue)" without/,
      ],
      [
        'linear',
        ['--train', labelled, '--test', other, '--train-images', '1'],
        /is of the class "(red|blue)", of which none/,
      ],
      ['linear', ['--train', labelled, '--lr', '-1'], /It must be a number above 0/],
      ['linear', ['--train', labelled, '--test-images', '1'], /one image alone can be evaluated/],
      [
        'linear',
        ['--train', labelled, '--quick', '--lr', '1e30'],
        /trained: the linear head diverged in epoch \d with a learning rate of 1e\+30: .* use a lower --lr/,
      ],
      ['linear', ['--train', labelled, '--crop', '100'], /crop is 100, not a multiple of the model's stride 8/],
      ['retrieval', [], /give --train \(and --test\) .*, or --images/],
      ['retrieval', ['--images', labelled, '--test', other], /use --images or --test, not both/],
      ['retrieval', ['--images', labelled, '--k', '0'], /It must be a whole number of at least 1/],
      ['retrieval', ['--images', labelled, '--test-images', '1'], /one image alone can be evaluated/],
    ] as const) {
      const { code, stderr } = await evaluate(kind, ...flags);
      assert.notEqual(code, 0, flags.join(' '));
      assert.match(stderr, message);
    }
  });
});
