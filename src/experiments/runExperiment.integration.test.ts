import assert from 'node:assert/strict';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { long } from '../../test/support/longTests.js';
import { type TinyOptions, tinyExperiments } from '../../test/support/tinyExperiments.js';
import { takeLock } from '../files/processLock.js';
import type { Report } from '../report/report.js';
import { loadCheckpoint } from '../train/checkpoint.js';
import { readRecord } from './cellRecord.js';
import { experimentReport } from './report/experimentReport.js';
import { trainedCells } from './reuseCell.js';

const sectionNames = ({ sections }: Report): string[] => sections.map(({ title }) => title);

describe('runExperiment', long, () => {
  let root: string;
  let commands: string[];
  let tiny: Awaited<ReturnType<typeof tinyExperiments>>;
  before(async () => {
    tiny = await tinyExperiments();
    ({ root } = tiny);
  });
  after(() => tiny.remove());

  async function run(out: string, options: TinyOptions = {}) {
    commands = [];
    const ran = await tiny.run(out, options);
    ({ commands } = ran);
    return ran;
  }
  const gather = (outs: readonly string[], floors?: string) => tiny.gather(outs, floors);
  const figures = (...outs: string[]) => tiny.figures(...outs);

  it('trains and evaluates all cells once, keeps small checkpoints, and compares with the baseline', async () => {
    const { summary, lines } = await run('whole');
    assert.deepEqual([summary.done, summary.failed, summary.stopped], [4, [], 0]);
    assert.equal(commands.length, 8);
    assert.match(lines.at(-1)!, /^\[4\/4\] vicreg\/seed-2: done \(.* used\)$/);
    assert.ok(lines.some((line) => /^\[1\/4\] vicregl\/seed-1: done \(\d+ s used, about \d+ s left\)$/.test(line)));
    const { tensors, step } = await loadCheckpoint(join(root, 'whole/vicregl/seed-1'));
    assert.equal(step, 4);
    assert.ok([...tensors.keys()].every((name) => !name.includes('/')));
    const record = await readRecord(join(root, 'whole/vicregl/seed-1'));
    assert.deepEqual([record!.status, record!.training.steps], ['done', 4]);
    const { tables, missing } = await figures('whole');
    assert.deepEqual(missing, []);
    const [{ differences, measures }] = tables as [(typeof tables)[0]];
    assert.deepEqual(
      differences.map(({ variant, baseline, seeds, over }) => ({ variant, baseline, seeds, over })),
      [{ variant: 'vicregl', baseline: 'vicreg', seeds: [1, 2], over: 'seeds and items' }],
    );
    assert.equal(measures.length, 6);

    // Another variant as the baseline: the same differences with the other sign.
    const turned = (await tiny.gather(['whole'], undefined, 'vicregl')).tables[0]!.differences;
    assert.deepEqual(
      turned.map(({ variant, baseline, difference }) => ({ variant, baseline, difference })),
      differences.map(({ difference }) => ({ variant: 'vicreg', baseline: 'vicregl', difference: -difference! })),
    );
    await assert.rejects(tiny.gather(['whole'], undefined, 'vicrgl'), {
      message: '--baseline: there is no variant "vicrgl"; did you mean vicregl?',
    });

    const again = await run('whole');
    assert.equal(again.summary.done, 4);
    assert.deepEqual(commands, []);
  });

  it('gives the same figures in two shards, and names the cells that are missing', async () => {
    await run('shard0', { shard: { index: 0, count: 2 } });
    assert.deepEqual(
      (await figures('shard0')).missing.map(({ cell, reason }) => [cell, reason]),
      [
        ['vicreg/seed-1', 'not run'],
        ['vicreg/seed-2', 'not run'],
      ],
    );
    await run('shard1', { shard: { index: 1, count: 2 } });
    assert.deepEqual(await figures('shard0', 'shard1'), await figures('whole'));
  });

  it('has rows of floors, which another experiment measured, beside the variants', async () => {
    const random = { name: 'floors', seeds: [1], variants: { random: { epochs: 0, warmupEpochs: 0 } } };
    const { summary } = await run('floors', { changes: { ...random, baseline: undefined } });
    assert.equal(summary.done, 1);
    assert.equal((await readRecord(join(root, 'floors/random/seed-1')))!.training.steps, 0);
    const [own, both] = [await gather(['whole']), await gather(['whole'], 'floors')];
    const [table] = both.tables;
    assert.deepEqual(table!.variants, ['vicregl', 'vicreg', '(random)']);
    const floor = (await gather(['floors'])).tables[0]!.measures.find(({ seed }) => seed === null);
    assert.deepEqual(
      table!.measures.filter(({ variant, seed }) => variant === '(random)' && seed === null),
      [{ ...floor, variant: '(random)' }],
    );
    assert.deepEqual(both.curves, own.curves);
    assert.deepEqual(both.definition, own.definition);
    const names = sectionNames(experimentReport(both));
    assert.deepEqual(names, ['Experiment', 'k-NN classification', 'Training']);
  });

  it('continues a training that was stopped, with the same figures', async () => {
    const { summary } = await run('stopped', { stopAt: 1 });
    assert.deepEqual([summary.done, summary.stopped], [0, 4]);
    assert.equal((await readRecord(join(root, 'stopped/vicregl/seed-1')))!.status, 'unfinished');
    const { lines } = await run('stopped');
    assert.equal(lines[0], '[1/4] vicregl/seed-1: training resumed');
    assert.deepEqual(await figures('stopped'), await figures('whole'));
  });

  it('records a cell that diverges, runs the others, and tries it again when asked', async () => {
    const variants = { diverging: { optimizer: { baseLr: 1e30 } }, vicreg: { loss: { alpha: 1 } } };
    const changes = { variants, seeds: [1] };
    const { summary } = await run('diverging', { changes });
    assert.equal(summary.done, 1);
    assert.equal(summary.failed[0]!.cell, 'diverging/seed-1');
    assert.match(summary.failed[0]!.reasons[0]!, /^training: step \d+: .* training stopped/);
    assert.match((await figures('diverging')).missing[0]!.reason, /^training: step/);
    await run('diverging', { changes });
    assert.deepEqual(commands, []);
    await run('diverging', { changes, retryFailed: true });
    assert.deepEqual(commands, ['train --resume']);
  });

  it('fails a cell that has collapsed, or evaluates it where the file says so', async () => {
    const alarm = { collapse: { threshold: 0.99, steps: 1 } };
    const changes = { seeds: [1], variants: { vicreg: { loss: { alpha: 1 }, alarm } } };
    const { summary } = await run('collapsed', { changes });
    assert.match(summary.failed[0]!.reasons[0]!, /^training: COLLAPSE: stde is /);
    const evaluated = { ...changes, collapsed: 'evaluate' };
    const { summary: retried } = await run('collapsed', { changes: evaluated, retryFailed: true });
    assert.equal(retried.done, 1);
    assert.deepEqual((await figures('collapsed')).collapsed, ['vicreg/seed-1']);
  });

  it('records an evaluation that fails, and makes it alone when it is tried again', async () => {
    const changes = { seeds: [1], variants: { vicregl: {} }, baseline: undefined };
    const { summary } = await run('broken', { changes, broken: true });
    assert.deepEqual(summary.failed[0]!.reasons, ['evaluation knn: no labels']);
    const { summary: retried } = await run('broken', { changes, retryFailed: true });
    assert.deepEqual([retried.done, commands], [1, ['evaluate knn']]);
  });

  it('makes an evaluation again whose result is damaged, and one that is new', async () => {
    const changes = { seeds: [1], variants: { vicregl: {} }, baseline: undefined };
    await writeFile(join(root, 'broken/vicregl/seed-1/knn.json'), '{');
    await run('broken', { changes });
    assert.deepEqual(commands, ['evaluate knn']);
    await run('broken', { changes: { ...changes, evaluations: { knn: { train: 'x' }, other: { kind: 'knn' } } } });
    assert.deepEqual(commands, ['evaluate knn']);
    await stat(join(root, 'broken/vicregl/seed-1/other.json'));
  });

  it('refuses a file that has changed, naming cells and keys, and restarts what has changed when asked', async () => {
    const changes = { seeds: [1], variants: { vicregl: {} }, baseline: undefined };
    await run('changed', { changes });
    const other = { ...changes, variants: { vicregl: { loss: { alpha: 0.5 } } } };
    await assert.rejects(run('changed', { changes: other }), {
      name: 'ExperimentError',
      message: /has changed since .*\n {2}vicregl\/seed-1: loss\.alpha: 0\.75 -> 0\.5\n.*--restart-changed/,
    });
    const flags = { ...changes, evaluations: { knn: { train: 'y' } } };
    await assert.rejects(run('changed', { changes: flags }), /evaluations\.knn: train: "x" -> "y"/);
    await run('changed', { changes: flags, restartChanged: true });
    assert.deepEqual(commands, ['evaluate knn']);
    await run('changed', { changes: { ...flags, ...other, evaluations: flags.evaluations }, restartChanged: true });
    assert.deepEqual(commands, ['train --config', 'evaluate knn']);
    // A default that is written out, and what only says how a run proceeds, are no changes.
    const same = { loss: { alpha: 0.5, criterion: 'vicreg' }, checkpoints: { keep: 3 } };
    await run('changed', { changes: { ...flags, variants: { vicregl: same } } });
    assert.deepEqual(commands, []);
    await assert.rejects(
      run('changed', { changes: { ...changes, name: 'other' } }),
      /of the experiment "tiny", not of "other"/,
    );
  });

  it('copies cells of another experiment that are the same, and the results that are measured in the same way', async () => {
    const changes = {
      name: 'other',
      seeds: [2, 3],
      // The settings of vicregl with a default written out, and another loss.
      variants: { same: { loss: { criterion: 'vicreg' } }, location: { loss: { matches: 'location' } } },
      baseline: 'same',
      evaluations: { knn: { train: 'x' }, other: { kind: 'knn', train: 'y' } },
    };
    const reuse = await trainedCells([join(root, 'whole')]);
    const { summary, lines } = await run('reused', { changes, reuse });
    assert.equal(summary.done, 4);
    assert.deepEqual(commands, [
      'evaluate knn',
      ...Array(3).fill(['train --config', 'evaluate knn', 'evaluate knn']).flat(),
    ]);
    assert.ok(lines[0]!.endsWith(`copied from ${join(root, 'whole/vicregl/seed-2')}: training, knn`), lines[0]);
    const record = await readRecord(join(root, 'reused/same/seed-2'));
    assert.deepEqual([record!.reused, record!.experiment], ['tiny: vicregl/seed-2', 'other']);
    for (const file of ['knn.json', 'log.jsonl']) {
      const [copy, origin] = ['reused/same', 'whole/vicregl'].map((cell) => join(root, cell, 'seed-2', file));
      assert.deepEqual(await readFile(copy!), await readFile(origin!));
    }
  });

  it('starts a copy again that was interrupted', async () => {
    const folder = join(root, 'interrupted/vicregl/seed-1');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, '.copying'), '');
    await writeFile(join(folder, 'config.yaml'), '');
    const reuse = await trainedCells([join(root, 'whole')]);
    const { summary } = await run('interrupted', { reuse });
    assert.deepEqual([summary.done, commands], [4, []]);
    await assert.rejects(stat(join(folder, '.copying')), { code: 'ENOENT' });
  });

  it('leaves a cell alone that another process runs', async () => {
    const folder = join(root, 'busy/vicregl/seed-1');
    await mkdir(folder, { recursive: true });
    const lock = await takeLock(join(folder, 'cell.lock'));
    const { summary } = await run('busy', { shard: { index: 0, count: 4 } });
    assert.deepEqual([summary.busy, commands], [['vicregl/seed-1'], []]);
    await lock.release();
  });

  it('refuses a run that is no cell, and folders of different settings', async () => {
    await mkdir(join(root, 'foreign/vicregl/seed-1'), { recursive: true });
    await writeFile(join(root, 'foreign/vicregl/seed-1/config.yaml'), await readFile(join(root, 'base.yaml')));
    await assert.rejects(run('foreign'), /holds a run that is no cell of an experiment; choose another --out/);
    await assert.rejects(
      figures('whole', 'changed'),
      /variant vicregl has other settings in .*changed than in .*whole/,
    );
    await assert.rejects(figures('photographs'), /is not a folder of vicregl experiments run/);
  });
});
