import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ResultData } from '../../src/evaluate/result/schema.js';
import { writeColouredImages } from '../support/colouredImages.js';
import { runRecords } from '../support/runRecords.js';
import { tinyConfig, trainTiny, writePhotographs } from '../support/tinyRun.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

describe('vicregl evaluate knn', () => {
  let root: string;
  let labelled: string;
  let run: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-knn-'));
    labelled = join(root, 'labelled');
    run = join(root, 'run');
    await writeColouredImages(labelled, 15);
    const photographs = join(root, 'photographs');
    await writePhotographs(photographs, ['0.jpg', '1.jpg', '2.jpg', '3.jpg']);
    const probe = { data: labelled, knn: { k: 7, temperature: 0.1, trainImages: 22, testImages: 5 } };
    await trainTiny(run, tinyConfig(photographs, { probe }));
  });
  after(() => rm(root, { recursive: true }));

  const knn = (...flags: string[]) => vicregl('evaluate', 'knn', '--train', labelled, '--device', 'cpu', ...flags);

  it("gives the same result for a run's checkpoint as the run's own probe", async () => {
    const out = join(root, 'knn.json');
    const sizes = ['--train-images', '22', '--test-images', '5'];
    const { code, stdout, stderr } = await knn('--run', run, ...sizes, '--out', out);
    assert.equal(code, 0, stderr);
    const result = JSON.parse(stdout);
    const { items, ...file } = JSON.parse(await readFile(out, 'utf8'));
    const last = (await runRecords(run)).findLast((record) => 'knn_top1' in record) as Record<string, number>;
    const [trained, random] = result.subjects;
    assert.equal(trained.figures[0].value, last['knn_top1']);
    assert.deepEqual([result.options.k, result.options.temperature, result.seed], [7, 0.1, 3]);
    assert.deepEqual(result.options.duplicates, { count: 0, by: 'content' });
    assert.equal(stderr, '');
    assert.deepEqual(
      [trained.model, result.options.crop, result.options.resize, result.options.classes],
      [`run step ${last['step']}`, 64, 73, 2],
    );
    assert.deepEqual(
      result.data.map(({ role, images }: { role: string; images: number }) => [role, images]),
      [
        ['train', 22],
        ['test', 5],
      ],
    );
    assert.equal(result.comparisons[0].difference, trained.figures[0].value - random.figures[0].value);
    // The file has the values of each item too.
    assert.equal(items.length, 5);
    assert.equal(file.subjects[0].perItem.top1.length, 5);
    assert.deepEqual(file.comparisons, result.comparisons);
  });

  it('measures the model alone with --baseline none, which excludes others', async () => {
    const alone = await knn('--run', run, '--baseline', 'none');
    assert.equal(alone.code, 0, alone.stderr);
    const { subjects, comparisons } = JSON.parse(alone.stdout);
    assert.deepEqual([subjects.map(({ name }: { name: string }) => name), comparisons], [['trained'], []]);
    const both = await knn('--run', run, '--baseline', 'none', '--baseline', 'pixels');
    assert.equal(both.code, 1);
    assert.match(both.stderr, /--baseline none excludes --baseline pixels; leave out one of them/);
  });

  it('has a digest of the images, by which other ones under the same names are told apart', async () => {
    const [test, copy, changed] = ['test', 'copy', 'changed'].map((name) => join(root, name));
    await writeColouredImages(test!, 3);
    for (const to of [copy!, changed!]) await cp(test!, to, { recursive: true });
    await cp(join(test!, 'red/0.png'), join(changed!, 'red/1.png'));
    const dataOf = async (path: string, ...flags: string[]) => {
      const { code, stdout, stderr } = await knn('--run', run, '--baseline', 'none', '--test', path, ...flags);
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout).data.map(({ fingerprint, contents }: ResultData) => [fingerprint, contents]);
    };
    const [train, tested] = await dataOf(test!);
    assert.match(tested[1], /^sha256 [0-9a-f]{16}$/);
    // The order in which images are tested follows from the seed.
    assert.deepEqual(await dataOf(copy!, '--seed', '5'), [train, tested]);
    const other = await dataOf(changed!);
    assert.deepEqual([other[0], other[1][0]], [train, tested[0]]);
    assert.notEqual(other[1][1], tested[1]);
  });

  it('warns of test images that are also training images', async () => {
    const { stdout, stderr } = await knn('--run', run, '--test', labelled);
    assert.match(
      stderr,
      /^warning: 30 of 30 test images are also training images \(same content\), such as (.*): they are their own nearest neighbours/,
    );
    const { options, notes } = JSON.parse(stdout);
    assert.deepEqual(options.duplicates, { count: 30, by: 'content' });
    assert.match(notes[0], /^warning: 30 of 30/);
  });

  it('has no placeholder number for "all" in its help', async () => {
    for (const command of ['knn', 'linear', 'retrieval', 'matches']) {
      assert.doesNotMatch((await vicregl('evaluate', command, '--help')).stdout, /9007199254740991|4294967295/);
    }
    assert.match((await knn('--k', '0')).stderr, /It must be a whole number of at least 1\./);
  });

  it('names missing and contradictory flags', async () => {
    for (const [flags, message] of [
      [['--run', run, '--model', run], /use --model or --run, not both/],
      [['--checkpoint', 'best'], /--checkpoint requires --run/],
      [['--temperature', '0'], /It must be a number above 0/],
      [['--crop', '100'], /crop is 100, not a multiple of the model's stride 16; use 96 or 112 /],
      [['--test-images', '1', '--train-images', '25'], /one image alone can be evaluated, and an interval needs two/],
      [
        ['--test-images', '2', '--train-images', '10'],
        /--k is 20, and there are only 10 training images; use at most 10/,
      ],
    ] as const) {
      const { code, stderr } = await knn(...flags);
      assert.notEqual(code, 0);
      assert.match(stderr, message);
    }
  });
});
