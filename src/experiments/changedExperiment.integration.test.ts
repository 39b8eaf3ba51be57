import assert from 'node:assert/strict';
import { mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { long } from '../../test/support/longTests.js';
import { tinyExperiments } from '../../test/support/tinyExperiments.js';
import { until } from '../../test/support/until.js';
import type { EvaluationResult } from '../evaluate/result/schema.js';
import { takeLock } from '../files/processLock.js';
import { type CellRecord, readRecord, writeRecord } from './cellRecord.js';
import { trainedCells } from './reuseCell.js';

/** Files that change between runs of an experiment, processes that end at a bad moment, and what is compared afterwards. */

const HEAD = ['$', '{CELL}/head'].join('');

describe('an experiment that is run again', long, () => {
  let tiny: Awaited<ReturnType<typeof tinyExperiments>>;
  before(async () => {
    tiny = await tinyExperiments();
  });
  after(() => tiny.remove());
  const path = (...names: string[]) => join(tiny.root, ...names);
  const exists = (...names: string[]) =>
    stat(path(...names)).then(
      () => true,
      () => false,
    );
  const one = { seeds: [1], variants: { vicregl: {} }, baseline: undefined };
  const changeRecord = async (cell: string, change: (record: CellRecord) => CellRecord) =>
    writeRecord(path(cell), change((await readRecord(path(cell)))!));

  it('reports cells whose file has changed only in keys of the machine, in one folder and in several', async () => {
    const variants = (more: object) => ({ vicregl: more, vicreg: { loss: { alpha: 1 }, ...more } });
    await tiny.run('threads', { changes: { seeds: [1] } });
    const before = await tiny.figures('threads');
    const changes = { seeds: [1], variants: variants({ threads: 2 }) };
    const { commands } = await tiny.run('threads', { changes });
    assert.deepEqual(commands, []);
    assert.deepEqual((await tiny.figures('threads')).tables, before.tables);
    await tiny.run('first', { changes: { seeds: [1] }, shard: { index: 0, count: 2 } });
    await tiny.run('second', { changes, shard: { index: 1, count: 2 } });
    const joined = await tiny.figures('first', 'second');
    assert.deepEqual([joined.tables, joined.missing], [before.tables, []]);

    // An older version recorded settings in cells alone: those of a variant without a cell are known after another run.
    for (const out of ['first', 'second']) {
      const definition = JSON.parse(await readFile(path(out, 'experiment.json'), 'utf8'));
      for (const variant of definition.variants) delete variant.settings;
      await writeFile(path(out, 'experiment.json'), JSON.stringify(definition));
    }
    await assert.rejects(
      tiny.figures('first', 'second'),
      /variant vicregl has other settings in .*second.*older version/,
    );
    await tiny.run('first', { changes: { seeds: [1] }, shard: { index: 0, count: 2 } });
    await tiny.run('second', { changes, shard: { index: 1, count: 2 } });
    assert.deepEqual((await tiny.figures('first', 'second')).tables, before.tables);
  });

  it('reads folders of an older version, whose cells alone have settings, and names keys that differ', async () => {
    for (const [out, threads] of [
      ['old1', 1],
      ['old2', 2],
    ] as const) {
      await tiny.run(out, { changes: { ...one, seeds: [threads], variants: { vicregl: { threads } } } });
      const definition = JSON.parse(await readFile(path(out, 'experiment.json'), 'utf8'));
      delete definition.variants[0].settings;
      await writeFile(path(out, 'experiment.json'), JSON.stringify(definition));
    }
    const { missing, definition } = await tiny.figures('old1', 'old2');
    assert.deepEqual([definition.seeds, missing.map(({ cell }) => cell)], [[1, 2], []]);
    await tiny.run('old3', { changes: { ...one, variants: { vicregl: { loss: { alpha: 0.5 } } } }, stopAt: 1 });
    await assert.rejects(tiny.figures('old1', 'old3'), /vicregl has other settings .* \(loss\.alpha: 0\.75 -> 0\.5\)/);
  });

  it('refuses a changed evaluation in cells that are not selected, and a report that would mix both', async () => {
    await tiny.run('mixed', { changes: { seeds: [1] }, only: ['vicregl'] });
    const augmented = { seeds: [1], evaluations: { knn: { train: 'x', augment: true } } };
    await assert.rejects(
      tiny.run('mixed', { changes: augmented, only: ['vicreg'] }),
      /vicregl\/seed-1: evaluations\.knn: augment: absent -> true/,
    );
    await tiny.run('mixed', { changes: augmented, only: ['vicreg'], restartChanged: true });
    await assert.rejects(tiny.figures('mixed'), {
      name: 'ExperimentError',
      message:
        /^evaluation knn was made with other options in .*vicreg\/seed-1 than in .*vicregl\/seed-1 \(augment is "true" and absent\)/,
    });
    const { commands } = await tiny.run('mixed', { changes: augmented, restartChanged: true });
    assert.deepEqual(commands, ['evaluate knn']);
    assert.equal((await tiny.figures('mixed')).tables.length, 1);
    // The same for another folder with floors.
    await tiny.run('plain', { changes: one });
    await assert.rejects(tiny.gather(['mixed'], 'plain'), /plain.* than in .*mixed.* \(augment is absent and "true"\)/);
  });

  it('refuses a report of results with other numbers of images', async () => {
    const images = (count: number) => ({ seeds: [1], evaluations: { knn: { train: 'x', 'train-images': count } } });
    await tiny.run('images', { changes: images(4000), only: ['vicregl'] });
    await tiny.run('images', { changes: images(9469), only: ['vicreg'], restartChanged: true });
    await assert.rejects(tiny.figures('images'), /on other images in .* \(9,469 and 4,000 train images\)/);
  });

  it('has a table for each protocol, and pairs items by name', async () => {
    await tiny.run('protocols', { changes: { variants: { vicregl: {}, vicreg: { loss: { alpha: 1 } }, third: {} } } });
    const before = (await tiny.figures('protocols')).tables[0]!;
    const changeResult = async (cell: string, change: (result: EvaluationResult) => EvaluationResult) => {
      const file = path('protocols', cell, 'knn.json');
      await writeFile(file, JSON.stringify(change(JSON.parse(await readFile(file, 'utf8')))));
    };
    // As by a seed of the evaluation that follows that of training.
    await changeResult('vicreg/seed-2', (result) => ({
      ...result,
      items: result.items!.toReversed(),
      subjects: result.subjects.map((subject) => ({
        ...subject,
        perItem: { top1: subject.perItem!['top1']!.toReversed() },
      })),
    }));
    assert.deepEqual((await tiny.figures('protocols')).tables, [before]);

    for (const seed of [1, 2]) await changeResult(`third/seed-${seed}`, (result) => ({ ...result, protocol: 'other' }));
    const { tables } = await tiny.figures('protocols');
    const several = /^The variants were measured with several protocols/;
    assert.deepEqual(
      tables.map(({ name, title, about, variants }) => [name, title, about, variants]),
      [
        ['knn-1', 'k-NN classification, protocol 1 of 2', 'bytes of the weights', ['vicregl', 'vicreg']],
        ['knn-2', 'k-NN classification, protocol 2 of 2', 'other', ['third']],
      ],
    );
    const ofBoth = (measure: { readonly variant: string }) => measure.variant !== 'third';
    assert.deepEqual(tables[0]!.measures, before.measures.filter(ofBoth));
    assert.deepEqual(tables[0]!.differences, before.differences.filter(ofBoth));
    assert.deepEqual(tables[1]!.differences, []);
    assert.match(tables[0]!.notes[0]!, several);
    assert.match(tables[1]!.notes[0]!, several);
    assert.equal(
      tables[1]!.notes[1],
      'No differences of variants that were measured with different protocols: third - vicreg.',
    );

    const floor = { ...one, name: 'floor', variants: { untrained: { epochs: 0, warmupEpochs: 0 } } };
    await tiny.run('floor', { changes: floor });
    const both = (await tiny.gather(['protocols'], 'floor')).tables;
    assert.deepEqual(
      both.map(({ variants }) => variants),
      [['vicregl', 'vicreg', '(untrained)'], ['third']],
    );
    const alone = await readFile(path('floor/untrained/seed-1/knn.json'), 'utf8');
    await writeFile(path('floor/untrained/seed-1/knn.json'), JSON.stringify({ ...JSON.parse(alone), protocol: 'old' }));
    const [table] = (await tiny.gather(['protocols'], 'floor')).tables;
    assert.deepEqual(table!.variants, ['vicregl', 'vicreg']);
    assert.ok(table!.notes.includes('Measured with another protocol, and left out: (untrained).'));
  });

  it('makes an evaluation again that has written a folder into its cell', async () => {
    const changes = (steps: number) => ({ ...one, evaluations: { seg: { kind: 'knn', steps, 'out-head': HEAD } } });
    await tiny.run('head', { changes: changes(1) });
    const cell = 'head/vicregl/seed-1';
    await writeFile(path(cell, 'head/stale'), '');
    await tiny.run('head', { changes: changes(2), restartChanged: true });
    assert.deepEqual((await readRecord(path(cell)))!.evaluations['seg']!.status, 'done');
    assert.deepEqual([await exists(cell, 'head'), await exists(cell, 'head/stale')], [true, false]);
    // A process that ended between the head and the record.
    await changeRecord(cell, (record) => ({ ...record, evaluations: {}, status: 'unfinished' }));
    const { summary } = await tiny.run('head', { changes: changes(2) });
    assert.deepEqual([summary.done, summary.failed], [1, []]);
    // A copy has the head of an evaluation that is kept, and not that of another.
    await writeFile(path(cell, 'head/own'), '');
    const reuse = await trainedCells([path('head')]);
    const kept = await tiny.run('head2', { changes: changes(2), reuse });
    assert.deepEqual([kept.commands, await exists('head2/vicregl/seed-1/head/own')], [[], true]);
    const made = await tiny.run('head3', { changes: changes(3), reuse });
    assert.deepEqual([made.commands, made.summary.done], [['evaluate knn'], 1]);
    assert.equal(await exists('head3/vicregl/seed-1/head/own'), false);
  });

  it('removes nothing outside of the cell, even by a link', async () => {
    await mkdir(path('elsewhere/head'), { recursive: true });
    const cell = 'linked/vicregl/seed-1';
    await mkdir(path(cell), { recursive: true });
    await symlink(path('elsewhere'), path(cell, 'link'));
    const evaluations = { seg: { kind: 'knn', 'out-head': HEAD.replace('/head', '/link/head') } };
    const { summary } = await tiny.run('linked', { changes: { ...one, evaluations } });
    assert.match(summary.failed[0]!.reasons[0]!, /EEXIST/);
    assert.ok(await exists('elsewhere/head'));
  });

  it('takes a training for finished whose process ended before it recorded that', async () => {
    const cell = 'crashed/vicregl/seed-1';
    await tiny.run('crashed', { changes: one });
    for (const [status, retryFailed] of [
      ['unfinished', false],
      // What an older version made of it.
      ['failed', true],
    ] as const) {
      await changeRecord(cell, (record) => ({ ...record, status, training: { status, seconds: 7 } }));
      const { commands, summary } = await tiny.run('crashed', { changes: one, retryFailed });
      assert.deepEqual([commands, summary.done], [[], 1]);
      assert.deepEqual((await readRecord(path(cell)))!.training, { status: 'done', seconds: 7, steps: 4 });
    }
  });

  it('waits for a training that goes on before it clears the cell', async () => {
    const cell = 'orphan/vicregl/seed-1';
    await tiny.run('orphan', { changes: one });
    const lock = await takeLock(path(cell, 'run.lock'));
    const lines: string[] = [];
    const changes = { ...one, variants: { vicregl: { loss: { alpha: 0.5 } } } };
    const running = tiny.run('orphan', { changes, restartChanged: true, say: (line) => lines.push(line) });
    await until(async () => lines.some((line) => line.includes('waiting for process')), 20);
    assert.ok(await exists(cell, 'run.lock'));
    assert.ok(await exists(cell, 'config.yaml'));
    await lock.release();
    assert.deepEqual((await running).commands, ['train --config', 'evaluate knn']);
    // A lock of another machine is not waited for.
    await writeFile(path(cell, 'run.lock'), JSON.stringify({ pid: 1, host: 'elsewhere' }));
    const { summary, lines: said } = await tiny.run('orphan', { changes: one, restartChanged: true });
    assert.deepEqual([summary.busy, await exists(cell, 'config.yaml')], [['vicregl/seed-1'], true]);
    assert.match(said[0]!, /run\.lock is held by process 1 on elsewhere.*remove the file/);
  });

  it('goes on clearing a cell where that was interrupted', async () => {
    const cell = 'cleared/vicregl/seed-1';
    await tiny.run('cleared', { changes: one });
    await writeFile(path(cell, '.copying'), '');
    await rm(path(cell, 'cell.json'));
    const { commands } = await tiny.run('cleared', { changes: one });
    assert.deepEqual(commands, ['train --config', 'evaluate knn']);
  });

  it('copies a finished cell in place of one whose training was stopped', async () => {
    await tiny.run('finished', { changes: one });
    await tiny.run('stopped', { changes: one, stopAt: 1 });
    const reuse = await trainedCells([path('finished')]);
    const { commands, lines } = await tiny.run('stopped', { changes: one, reuse });
    assert.deepEqual(commands, []);
    assert.match(lines[0]!, /vicregl\/seed-1: copied from .*finished\/vicregl\/seed-1: training, knn$/);
    assert.deepEqual((await tiny.figures('stopped')).tables, (await tiny.figures('finished')).tables);
  });

  describe('whose cell of another experiment is locked', () => {
    const locked = () => takeLock(path('finished', 'vicregl', 'seed-1', 'cell.lock'));
    /** Runs a new experiment up to the line with which it waits. */
    async function waiting(out: string) {
      const reuse = await trainedCells([path('finished')]);
      const stop = new AbortController();
      const lines: string[] = [];
      const options = { changes: one, reuse, signal: stop.signal, say: (line: string) => lines.push(line) };
      const ran = tiny.run(out, options as never);
      await until(() =>
        lines.some((line) => /waits to be copied from .*finished.*, in which process \d+ works/.test(line)),
      );
      return { ran, stop, lines };
    }

    it('waits, and copies what was evaluated meanwhile', async () => {
      await tiny.run('finished', { changes: one });
      const record = await readRecord(path('finished', 'vicregl', 'seed-1'));
      await changeRecord('finished/vicregl/seed-1', (now) => ({ ...now, status: 'unfinished', evaluations: {} }));
      const lock = await locked();
      const { ran, lines } = await waiting('patient');
      await changeRecord('finished/vicregl/seed-1', () => record!);
      await lock.release();
      const { summary, commands } = await ran;
      assert.deepEqual([summary.done, commands], [1, []]);
      assert.ok(
        lines.some((line) => /copied from .*finished.*: training, knn$/.test(line)),
        lines.join(),
      );
    });

    it('trains the cell itself once the other is no longer trained: two processes never wait for each other', async () => {
      const lock = await locked();
      const { ran } = await waiting('other-restarted');
      const record = await readRecord(path('finished', 'vicregl', 'seed-1'));
      await changeRecord('finished/vicregl/seed-1', (now) => ({
        ...now,
        training: { status: 'unfinished', seconds: 0 },
      }));
      assert.deepEqual((await ran).commands, ['train --config', 'evaluate knn']);
      await changeRecord('finished/vicregl/seed-1', () => record!);
      await lock.release();
    });

    it('stops waiting by the signal', async () => {
      const lock = await locked();
      const { ran, stop } = await waiting('impatient');
      stop.abort();
      const { summary, commands } = await ran;
      assert.deepEqual([summary.stopped, summary.done, commands], [1, 0, []]);
      await lock.release();
    });

    it('trains the cell itself where another machine has the lock, and says why', async () => {
      const file = path('finished', 'vicregl', 'seed-1', 'cell.lock');
      await writeFile(file, JSON.stringify({ pid: 1, host: 'elsewhere.invalid' }));
      const reuse = await trainedCells([path('finished')]);
      const { commands, lines } = await tiny.run('other-machine', { changes: one, reuse });
      assert.deepEqual(commands, ['train --config', 'evaluate knn']);
      assert.match(
        lines[0]!,
        /is not copied: .*cell\.lock is held by process 1 on elsewhere\.invalid; .*remove the file$/,
      );
      await rm(file);
    });
  });

  it('reports the evaluations of a cell from every folder that has one, and refuses one of other settings', async () => {
    await tiny.run('knn', { changes: one });
    const other = { ...one, evaluations: { other: { kind: 'knn', train: 'y' } } };
    await tiny.run('other', { changes: other, reuse: await trainedCells([path('knn')]) });
    for (const outs of [['knn', 'other'] as const, ['other', 'knn'] as const]) {
      const { tables, missing } = await tiny.figures(...outs);
      assert.deepEqual([tables.map(({ name }) => name).sort(), missing], [['knn', 'other'], []]);
    }
    await changeRecord('other/vicregl/seed-1', (record) => ({
      ...record,
      digest: 'x',
      settings: { ...record.settings, batchSize: 8 },
    }));
    await assert.rejects(tiny.figures('knn', 'other'), /other\/vicregl\/seed-1 was run with other settings.*batchSize/);
  });
});
