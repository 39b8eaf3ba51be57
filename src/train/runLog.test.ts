import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { keepRunLog, openRunLog, PROBED, readRunLog, type StepRecord } from './runLog.js';
import { lastValues, summariseRun } from './runSummary.js';

let run: string;
beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), 'vicregl-log-'));
});
afterEach(() => rm(run, { recursive: true }));

const record = (step: number): StepRecord => ({
  step,
  epoch: step >> 1,
  lr: 0.1,
  images_per_s: 9,
  wait_share: 0,
  l: 2 * step,
});

describe('the run log', () => {
  it('has one JSON line for every record, in order', async () => {
    const log = await openRunLog(run, 0);
    await log.write(record(1));
    await log.write({ step: 2, skipped: 'a "b".jpg', reason: 'cut\nshort' });
    const lines = (await readFile(join(run, 'log.jsonl'), 'utf8')).split('\n');
    assert.deepEqual(
      lines.map((line) => line && JSON.parse(line)),
      [record(1), { step: 2, skipped: 'a "b".jpg', reason: 'cut\nshort' }, ''],
    );
  });

  it('of a resumed run loses the steps after the checkpoint and a line that a crash cut short', async () => {
    const log = await openRunLog(run, 0);
    await log.write({ step: 1, skipped: 'early.jpg', reason: 'broken' });
    for (const step of [1, 2, 3, 4]) await log.write(record(step));
    await log.write({ step: 5, skipped: 'late.jpg', reason: 'broken' });
    await appendFile(join(run, 'log.jsonl'), '{"step":5,"lr":0.');
    const resumed = await openRunLog(run, 3);
    assert.deepEqual(resumed.records, await readRunLog(run, 3));
    await resumed.write(record(4));
    const records = await readRunLog(run);
    assert.deepEqual(
      records.map(({ step }) => step),
      [1, 1, 2, 3, 4],
    );
    assert.deepEqual(records.slice(1), [1, 2, 3, 4].map(record));
  });

  it('is copied before a run goes back', async () => {
    const log = await openRunLog(run, 0);
    for (const step of [1, 2, 3]) await log.write(record(step));
    await keepRunLog(run, 3);
    await openRunLog(run, 1);
    const lines = (await readFile(join(run, 'log.until-step-3.jsonl'), 'utf8')).trim().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line)),
      [1, 2, 3].map(record),
    );
    assert.deepEqual(await readRunLog(run), [record(1)]);
  });

  it('that cannot be written is an error with the file and how to continue', async () => {
    const log = await openRunLog(run, 0);
    await rm(join(run, 'log.jsonl'));
    await mkdir(join(run, 'log.jsonl'));
    await assert.rejects(log.write(record(1)), {
      name: 'RunRecordError',
      message: /log\.jsonl cannot be written: EISDIR.*; make room and go on with --resume$/,
    });
  });

  it('is read without lines that are damaged, or are JSON but no records', async () => {
    const damaged = ['null', '[]', '7', '"step"', '{}', '{"step":"1"}', '{"step":2,"lr":0.1,"l":1e999}', '{"step":'];
    const lines = [record(1), ...damaged, record(3)].map((line) =>
      typeof line === 'string' ? line : JSON.stringify(line),
    );
    await writeFile(join(run, 'log.jsonl'), lines.map((line) => `${line}\n`).join(''));
    assert.deepEqual(await readRunLog(run), [record(1), record(3)]);
  });

  it('that cannot be read is an error with the file', async () => {
    await mkdir(join(run, 'log.jsonl'));
    await assert.rejects(readRunLog(run), {
      name: 'RunRecordError',
      message: `${join(run, 'log.jsonl')} cannot be read: it is a folder, not a file`,
    });
  });

  it('of a run from the start replaces an existing log', async () => {
    await (await openRunLog(run, 0)).write(record(1));
    await openRunLog(run, 0);
    assert.deepEqual(await readRunLog(run), []);
  });

  it('is summarised as means over the last 50 steps and the newest probes up to the checkpoint', async () => {
    const log = await openRunLog(run, 0);
    await log.write({ step: 1, skipped: 'a.jpg', reason: 'broken' });
    await log.write({ step: 1, skipped: `${PROBED}b.jpg`, reason: 'broken' });
    for (let step = 1; step <= 70; step++) await log.write(record(step));
    for (const step of [10, 60, 70]) await log.write({ step, knn_top1: step / 100 });
    assert.deepEqual(summariseRun(await readRunLog(run, 60), 60), {
      steps: 60,
      epochs: 31,
      lastTerms: { l: 71, knn_top1: 0.6 }, // mean of 2 * 11 .. 2 * 60, and the newest probe
      skippedPhotographs: 1,
    });
  });

  it('has last values of the figures of the run too, which its summary leaves out', async () => {
    const log = await openRunLog(run, 0);
    for (let step = 1; step <= 70; step++) await log.write({ ...record(step), lr: step / 10 });
    const records = await readRunLog(run);
    const { lr, l, images_per_s } = lastValues(records);
    assert.deepEqual([lr, l, images_per_s], [4.55, 91, 9]); // means of 21 .. 70
    assert.deepEqual(summariseRun(records, 70).lastTerms, { l: 91 });
  });

  it('is summarised with the mean norm of the gradients of those steps that had one', async () => {
    const log = await openRunLog(run, 0);
    for (const [i, norm] of [20, 28].entries()) await log.write({ ...record(i + 1), grad_norm: norm });
    // Overflows have no norm, also where they are the last steps.
    for (const step of [3, 4]) await log.write({ ...record(step), overflow: 1 });
    assert.equal(summariseRun(await readRunLog(run), 4).lastTerms['grad_norm'], 24);
  });
});
