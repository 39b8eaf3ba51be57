import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readResult } from '../../src/evaluate/result/readResult.js';
import { tinyConfig, trainTiny, writePhotographs } from '../support/tinyRun.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

describe('vicregl evaluate homography', () => {
  let root: string;
  let run: string;
  let photographs: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-homography-'));
    run = join(root, 'run');
    photographs = join(root, 'photographs');
    await writePhotographs(photographs, ['0.jpg', '1.jpg', '2.jpg', '3.jpg']);
    await trainTiny(run, tinyConfig(photographs, { epochs: 1 }));
    const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1];
    const pairs = ['0', '1'].map((name) => ({
      name,
      a: { file: `${name}.jpg` },
      b: { file: `${name}.jpg` },
      aToB: identity,
    }));
    await writeFile(join(photographs, 'pairs.json'), JSON.stringify(pairs));
    await writeFile(join(root, 'H.json'), JSON.stringify(identity));
  });
  after(() => rm(root, { recursive: true }));

  const homography = (...flags: string[]) =>
    vicregl('evaluate', 'homography', '--device', 'cpu', '--run', run, ...flags);

  it('finds the identity between a photograph and itself, and writes results and pictures', async () => {
    const [out, pictures] = [join(root, 'result.json'), join(root, 'pictures')];
    const { code, stderr } = await homography(
      ...['--pairs', photographs, '--baseline', 'pixels', '--out', out, '--pictures', pictures, '--space', 'backbone'],
    );
    assert.equal(code, 0, stderr);
    const { kind, items, subjects, data, options } = await readResult(out);
    assert.deepEqual([kind, items, data[0]!.images], ['homography', ['0', '1'], 4]);
    assert.deepEqual(options, { resize: { kind: 'native' }, space: 'backbone', distance: 'l2', seeds: 5 });
    for (const { name, figures, perItem } of subjects) {
      assert.equal(figures.find((figure) => figure.name === 'found_3px')!.value, 1, name);
      assert.deepEqual(perItem!['found_3px'], [1, 1]);
      assert.equal(perItem!['corner_error']!.length, 2);
    }
    assert.deepEqual((await readdir(pictures)).toSorted(), [
      '1-0-pixels.png',
      '1-0-trained.png',
      '2-1-pixels.png',
      '2-1-trained.png',
    ]);
  });

  it('measures views of photographs, one item for each photograph, and goes on from its cache', async () => {
    const cache = join(root, 'cache');
    const flags = ['--images', photographs, '--views', '1,0x1', '--seeds', '2', '--cache', cache];
    const first = JSON.parse((await homography(...flags, '--out', join(root, 'views.json'))).stdout);
    assert.deepEqual(first.options.views, [{ kind: 'perspective' }, { kind: 'rotation', degrees: 0, scale: 1 }]);
    assert.equal(JSON.parse(await readFile(join(root, 'views.json'), 'utf8')).items.length, 4);
    const again = JSON.parse((await homography(...flags)).stdout);
    assert.deepEqual(again.subjects, first.subjects);
  });

  it('draws a picture of every view and subject, however long the names are', async () => {
    const [long, pictures] = [join(root, 'long'), join(root, 'long-pictures')];
    await writePhotographs(
      long,
      ['a', 'b'].map((end) => `${'x'.repeat(140)}${end}.jpg`),
    );
    const { code, stderr } = await homography('--images', long, '--views', '2,0x1,0x1', '--pictures', pictures);
    assert.equal(code, 0, stderr);
    const names = await readdir(pictures);
    assert.equal(names.length, 2 * 4 * 2, names.join(' '));
    assert.ok(
      names.some((name) => /^2-2-x+\.\.\.x+b\.jpg_perspective_2-trained\.png$/.test(name)),
      names.join(' '),
    );
  });

  it('measures a single pair, without intervals', async () => {
    const [a, b] = [join(photographs, '0.jpg'), join(photographs, '0.jpg')];
    const { code, stdout, stderr } = await homography('--a', a, '--b', b, '--homography', join(root, 'H.json'));
    assert.equal(code, 0, stderr);
    const { subjects, notes } = JSON.parse(stdout);
    assert.deepEqual(subjects[0].figures[0].interval, [null, null]);
    assert.deepEqual(notes, ['one item alone: there are no intervals']);
  });

  it('refuses flags that do not go together and inputs that cannot be used, without a result', async () => {
    const photo = join(photographs, '0.jpg');
    await writeFile(join(root, 'bad.json'), '[1, 2, 3]');
    for (const [flags, message] of [
      [[], /choose the pairs by one of --pairs, --a with --b and --homography, or --images/],
      [['--pairs', photographs, '--images', photographs], /choose the pairs by one of/],
      [['--a', photo, '--b', photo], /--a, --b and --homography go together/],
      [['--pairs', photographs, '--views', '1'], /--views requires --images/],
      [['--pairs', root], /--pairs: .*pairs\.json cannot be read/],
      [
        ['--a', photo, '--b', join(root, 'none.jpg'), '--homography', join(root, 'H.json')],
        /--b: .*none\.jpg cannot be read/,
      ],
      [
        ['--a', photo, '--b', photo, '--homography', join(root, 'bad.json')],
        /bad\.json: a homography is 3 rows of 3 numbers/,
      ],
      [['--pairs', photographs, '--resize', 'fit:50x64'], /width is 50, not a multiple of the model's stride 8/],
    ] as const) {
      const { code, stdout, stderr } = await homography(...flags);
      assert.deepEqual([code, stdout], [1, ''], flags.join(' '));
      assert.match(stderr, message);
    }
  });
});
