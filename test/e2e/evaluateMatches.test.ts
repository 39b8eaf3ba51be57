import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { tinyConfig, trainTiny, writePhotographs } from '../support/tinyRun.js';
import { vicregl } from '../support/vicregl.js';

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
      [['--run', run, '--images', one], /one image alone can be evaluated, and an interval needs two; give more/],
      [['--run', run, '--images', broken], /an interval needs two: 1 cannot be decoded, such as 1\.jpg: /],
    ] as const) {
      const { code, stderr } = await matches(...flags);
      assert.equal(code, 1, flags.join(' '));
      assert.match(stderr, message);
    }
  });
});
