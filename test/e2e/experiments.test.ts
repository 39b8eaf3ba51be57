import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { readResult } from '../../src/evaluate/result/readResult.js';
import type { StepRecord } from '../../src/train/runLog.js';
import { writeColouredImages } from '../support/colouredImages.js';
import { long } from '../support/longTests.js';
import { runRecords } from '../support/runRecords.js';
import { bin } from '../support/servedProcess.js';
import { tinyKeys, writePhotographs } from '../support/tinyRun.js';
import { until } from '../support/until.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

const root = await mkdtemp(join(tmpdir(), 'vicregl-experiments-'));
after(() => rm(root, { recursive: true }));
// Before the host of commands starts, which inherits it. The committed experiments need no data to be listed.
Object.assign(process.env, { DATA: root, COMPOSITES: '/nonexistent', PHOTOS: '/nonexistent' });

describe('vicregl experiments', long, () => {
  let file: string;
  before(async () => {
    file = join(root, 'tiny.yaml');
    await writePhotographs(
      join(root, 'photographs'),
      Array.from({ length: 8 }, (_, i) => `${i}.jpg`),
    );
    await writeColouredImages(join(root, 'labelled'), 4);
    await writeColouredImages(join(root, 'test'), 3);
    const { seed: _, ...keys } = tinyKeys(['$', '{DATA}/photographs'].join(''));
    await writeFile(join(root, 'base.yaml'), stringify({ ...keys, epochs: 8, checkpoints: { every: 4 } }));
    const experiment = {
      name: 'tiny',
      recipe: './base.yaml',
      matrix: { 'loss.alpha': [1, 0.5] },
      seeds: [1, 2],
      baseline: 'alpha-1',
      evaluations: {
        knn: {
          train: ['$', '{DATA}/labelled'].join(''),
          test: ['$', '{DATA}/test'].join(''),
          k: 3,
          baseline: 'pixels',
          device: 'cpu',
          threads: 1,
        },
      },
    };
    await writeFile(file, stringify(experiment));
  });

  const run = (out: string, ...flags: string[]) =>
    vicregl('experiments', 'run', file, '--out', join(root, out), ...flags);
  const report = async (...outs: string[]) => {
    const folders = outs.map((out) => join(root, out));
    const { code, stdout, stderr } = await vicregl('experiments', 'report', ...folders);
    assert.equal(code, 0, stderr);
    const { seconds: _, ...figures } = JSON.parse(await readFile(join(folders[0]!, 'report/report.json'), 'utf8'));
    return { figures, stdout, files: await readdir(join(folders[0]!, 'report')) };
  };

  /** Last loss and result of the first cell, without times. */
  async function cellFigures(out: string) {
    const cell = join(out, 'alpha-1/seed-1');
    const { subjects } = await readResult(join(cell, 'knn.json'));
    return { loss: ((await runRecords(cell)).at(-1) as StepRecord)['l'], subjects };
  }

  test('a shard that is killed continues, its figures equal those of one that was not, and the report joins shards', async () => {
    const killed = join(root, 'killed');
    const shard = ['--shard', '0/2'];
    const child = spawn(process.execPath, [bin, 'experiments', 'run', file, '--out', killed, ...shard], {
      stdio: 'ignore',
    });
    const log = join(killed, 'alpha-1/seed-1/log.jsonl');
    await until(async () => existsSync(log) && (await readFile(log, 'utf8')).split('\n').length > 3, 20);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const resumed = await run('killed', ...shard);
    const other = await run('other', '--shard', '1/2');
    // the cell of the kill alone
    const unbroken = await run('unbroken', '--only', 'alpha-1', '--shard', '0/2');
    for (const { code, stderr } of [resumed, other, unbroken]) assert.equal(code, 0, stderr);
    assert.match(resumed.stderr, /\[1\/2\] alpha-1\/seed-1: training resumed\n/);
    assert.match(resumed.stdout, /^2 of 2 cells done\n/);
    assert.match(unbroken.stdout, /^1 of 1 cells done\n/);
    const [continued, expected] = await Promise.all([killed, join(root, 'unbroken')].map(cellFigures));
    assert.deepEqual(continued, expected);

    const whole = await report('killed', 'other');
    assert.deepEqual(whole.figures.missing, []);
    assert.deepEqual(whole.figures.tables[0].variants, ['alpha-1', 'alpha-0.5', '(pixels)']);
    assert.match(whole.stdout, /top-1 accuracy \| alpha-0\.5 - alpha-1 \| +2 \|/);
    for (const name of ['report.md', 'report.html', 'training.png', 'knn-figures.png', 'knn-against-loss-alpha.png']) {
      assert.ok(whole.files.includes(name), name);
    }
    // Nothing that is needed only for a while stays.
    const cell = await readdir(join(killed, 'alpha-1/seed-1'));
    for (const name of ['.scratch', 'cell.lock', 'run.lock']) assert.ok(!cell.includes(name), name);
    const checkpoints = await readdir(join(killed, 'alpha-1/seed-1/checkpoints'));
    assert.deepEqual(checkpoints.sort(), ['index.json', 'step-00000016.safetensors']);
  });

  test('SIGTERM stops after a checkpoint with exit code 0, and names what is left', async () => {
    const out = join(root, 'stopped');
    const args = [bin, 'experiments', 'run', file, '--out', out, '--only', 'alpha-1'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let stdout = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    const log = join(out, 'alpha-1/seed-1/log.jsonl');
    await until(async () => existsSync(log) && (await readFile(log, 'utf8')).split('\n').length > 2, 20);
    child.kill('SIGTERM');
    const [code] = await once(child, 'close');
    assert.equal(code, 0);
    assert.equal(stdout, '0 of 2 cells done, 2 left\nstopped early; continue with the same command\n');
    const checkpoints = await readdir(join(out, 'alpha-1/seed-1/checkpoints'));
    assert.ok(checkpoints.some((name) => name.endsWith('.safetensors')));
    const { figures } = await report('stopped');
    assert.deepEqual(figures.missing[0], { cell: 'alpha-1/seed-1', reason: 'training is not finished' });
  });

  test('a cell that fails does not stop the others: exit code 3, and a summary that names it', async () => {
    const broken = join(root, 'broken.yaml');
    const experiment = {
      recipe: './base.yaml',
      name: 'broken',
      seeds: [1],
      variants: { bad: { 'optimizer.baseLr': 1e30 } },
    };
    await writeFile(broken, stringify(experiment));
    const out = join(root, 'broken');
    const { code, stdout } = await vicregl('experiments', 'run', broken, '--out', out);
    assert.equal(code, 3);
    assert.match(stdout, /^0 of 1 cells done, 1 failed\n {2}bad\/seed-1: training: step \d+: .*\n.*--retry-failed\n/);
    assert.match(await readFile(join(out, 'bad/seed-1/output.log'), 'utf8'), /\$ vicregl train --config .*\n/);
  });

  test('inputs that do not exist are found before anything runs', async () => {
    const missing = join(root, 'missing.yaml');
    await writeFile(missing, (await readFile(file, 'utf8')).replaceAll('/labelled', '/none/labelled'));
    const { code, stderr } = await vicregl('experiments', 'run', missing, '--out', join(root, 'inputs'));
    assert.equal(code, 1);
    assert.match(stderr, /evaluations\.knn: .*none\/labelled does not exist; mend the path/);
    assert.ok(!existsSync(join(root, 'inputs')));
  });

  test('list prints the cells with steps and settings', async () => {
    const { code, stdout, stderr } = await vicregl('experiments', 'list', file, '--shard', '1/2');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^tiny: 2 variants x 2 seeds, based on .*base\.yaml\n/);
    assert.match(stdout, /\nalpha-0\.5\/seed-1 {2}16 {5}alpha-1 {8}loss\.alpha=0\.5\n/);
    assert.doesNotMatch(stdout, /alpha-1\/seed/);
  });
});

describe('the committed experiments', async () => {
  const files = (await readdir('experiments')).filter((name) => name.endsWith('.yaml'));
  assert.ok(files.length >= 16);
  for (const name of files) {
    test(`${name} is accepted by list`, async () => {
      const { code, stdout, stderr } = await vicregl('experiments', 'list', join('experiments', name));
      assert.equal(code, 0, stderr);
      assert.match(stdout, new RegExp(`^${name.replace('.yaml', '')}: `));
    });
  }
});
