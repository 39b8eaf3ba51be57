import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readResult } from '../../src/evaluate/result/readResult.js';
import { tinyConfig, trainTiny, writePhotographs } from '../support/tinyRun.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

describe('vicregl evaluate matches', () => {
  let root: string;
  let photographs: string;
  let run: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-matches-'));
    photographs = join(root, 'photographs');
    run = join(root, 'run');
    await writePhotographs(photographs, ['0.jpg', '1.jpg', '2.jpg', '3.jpg']);
    await trainTiny(run, tinyConfig(photographs, { epochs: 1 }));
    await writeFile(join(photographs, '9.jpg'), 'not a picture');
  });
  after(() => rm(root, { recursive: true }));

  const matches = (...flags: string[]) => vicregl('evaluate', 'matches', '--device', 'cpu', ...flags);

  it("evaluates a run's checkpoint at the size of its crops, and names the images that it skips", async () => {
    const { code, stdout, stderr } = await matches('--run', run, '--images', photographs, '--pairs', '2');
    assert.equal(code, 0, stderr);
    const { subjects, data, options } = JSON.parse(stdout);
    assert.deepEqual([subjects[0].model, data[0].images, options.crop, options.top], ['run step 1', 4, 64, 20]);
    assert.deepEqual(
      data[0].skipped.map(({ name }: { name: string }) => name),
      ['9.jpg'],
    );
    assert.equal(subjects[0].figures[0].name, 'share');
    const coarse = JSON.parse((await matches('--run', run, '--images', photographs, '--crop', '32')).stdout);
    assert.deepEqual([coarse.options.crop, coarse.options.top], [32, 16]);
  });

  it('gives curves over the number of matches, in the chosen space, the same from its cache', async () => {
    const flags = ['--run', run, '--images', photographs, '--pairs', '2', '--space', 'backbone', '--flip'];
    const cached = [...flags, '--baseline', 'pixels', '--cache', join(root, 'cache')];
    const { code, stdout, stderr } = await matches(...cached, '--out', join(root, 'result.json'));
    assert.equal(code, 0, stderr);
    const { subjects, options, comparisons } = JSON.parse(stdout);
    assert.deepEqual([options.space, options.flipped, options.augmented], ['backbone', true, false]);
    assert.deepEqual(Object.keys(options.chance), ['trained', 'pixels']);
    assert.deepEqual(
      subjects[0].figures.map(({ name }: { name: string }) => name),
      [
        ...['share', 'visible', 'within_1px', 'within_3px', 'within_5px'],
        ...['share_top_1', 'share_top_2', 'share_top_5', 'share_top_10', 'share_top_50', 'share_all'],
      ],
    );
    const [curve] = subjects[0].curves;
    assert.deepEqual([curve.name, curve.x.values], ['share_by_gamma', [1, 2, 5, 10, 20, 50, 64]]);
    assert.equal(curve.y.values[4], subjects[0].figures[0].value);
    assert.equal(comparisons.length, 11);
    assert.equal((await readResult(join(root, 'result.json'))).subjects[0]!.perItem!['share_all']!.length, 4);
    assert.deepEqual(JSON.parse((await matches(...cached)).stdout).subjects, subjects);
    const centred = JSON.parse((await matches(...cached, '--distance', 'centredCosine')).stdout);
    assert.deepEqual([options.distance, centred.options.distance], ['l2', 'centredCosine']);
    assert.notDeepEqual(centred.subjects[0].figures, subjects[0].figures);
  });

  it('rejects contradictory flags, sizes that do not fit, and an interval over one image', async () => {
    const one = join(root, 'one');
    await writePhotographs(one, ['0.jpg']);
    const broken = join(root, 'broken');
    await writePhotographs(broken, ['0.jpg']);
    await writeFile(join(broken, '1.jpg'), 'x');
    for (const [flags, message] of [
      [['--run', run, '--model', run, '--images', one], /use --model or --run, not both/],
      [['--checkpoint', 'best', '--images', one], /--checkpoint requires --run/],
      [['--run', run, '--crop', '50', '--images', photographs], /crop is 50, not a multiple of the model's stride 8/],
      [
        ['--run', run, '--distance', 'euclid', '--images', one],
        /'euclid' is invalid\. Allowed choices are l2, cosine, centredCosine/,
      ],
      [['--run', run, '--images', one], /one image alone can be evaluated, and an interval needs two; give more/],
      [['--run', run, '--images', broken], /an interval needs two: 1 cannot be decoded, such as 1\.jpg: /],
    ] as const) {
      const { code, stderr } = await matches(...flags);
      assert.equal(code, 1, flags.join(' '));
      assert.match(stderr, message);
    }
  });
});
