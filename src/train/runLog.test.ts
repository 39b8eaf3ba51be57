import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { runRecords } from '../../test/support/runRecords.js';
import {
  keepRunLog,
  type LogRecord,
  openRunLog,
  PROBED,
  readLogBlocks,
  readRunLog,
  type StepRecord,
} from './runLog.js';
import { createLogSummary } from './runSummary.js';

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
    const taken: LogRecord[] = [];
    const resumed = await openRunLog(run, 3, (one) => taken.push(one));
    assert.deepEqual(taken, await runRecords(run));
    assert.equal(taken.length, 4);
    await resumed.write(record(4));
    const records = await runRecords(run);
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
    assert.deepEqual(await runRecords(run), [record(1)]);
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
    assert.deepEqual(await runRecords(run), [record(1), record(3)]);
  });

  it('that cannot be read is an error with the file', async () => {
    await mkdir(join(run, 'log.jsonl'));
    const unread = {
      name: 'RunRecordError',
      message: `${join(run, 'log.jsonl')} cannot be read: it is a folder, not a file`,
    };
    await assert.rejects(runRecords(run), unread);
    await assert.rejects(openRunLog(run, 1), unread);
  });

  it('that is missing is an error, unless the run may have none yet', async () => {
    const unread = {
      name: 'RunRecordError',
      message: `${join(run, 'log.jsonl')} cannot be read: there is no such file or folder`,
    };
    await assert.rejects(runRecords(run), unread);
    await assert.rejects(openRunLog(run, 1), unread);
    for await (const _ of readRunLog(run, { mayBeMissing: true })) assert.fail();
  });

  it('of several blocks is resumed with every line up to the checkpoint', async () => {
    const lines = Array.from(
      { length: 20_000 },
      (_, i) => `${JSON.stringify({ ...record(i + 1), text: 'é'.repeat(40) })}\n`,
    );
    await writeFile(join(run, 'log.jsonl'), lines.join(''));
    let taken = 0;
    await openRunLog(run, 19_000, () => {
      taken += 1;
    });
    assert.equal(taken, 19_000);
    assert.equal(await readFile(join(run, 'log.jsonl'), 'utf8'), lines.slice(0, 19_000).join(''));
  });

  it('of a run from the start replaces an existing log', async () => {
    await (await openRunLog(run, 0)).write(record(1));
    await openRunLog(run, 0);
    assert.deepEqual(await runRecords(run), []);
  });

  it('is summarised as means over the last 50 steps and the newest probes up to the checkpoint', async () => {
    const log = await openRunLog(run, 0);
    await log.write({ step: 1, skipped: 'a.jpg', reason: 'broken' });
    await log.write({ step: 1, skipped: `${PROBED}b.jpg`, reason: 'broken' });
    for (let step = 1; step <= 70; step++) await log.write(record(step));
    for (const step of [10, 60, 70]) await log.write({ step, knn_top1: step / 100 });
    const summary = createLogSummary();
    for (const one of await runRecords(run, 60)) summary.add(one);
    assert.deepEqual(summary.summary(), {
      steps: 60,
      epochs: 31,
      lastTerms: { l: 71, knn_top1: 0.6 }, // mean of 2 * 11 .. 2 * 60, and the newest probe
      skippedPhotographs: 1,
    });
  });

  it('has last values of the figures of the run too, which its summary leaves out', async () => {
    const log = await openRunLog(run, 0);
    for (let step = 1; step <= 70; step++) await log.write({ ...record(step), lr: step / 10 });
    const summary = createLogSummary();
    for (const one of await runRecords(run)) summary.add(one);
    const { lr, l, images_per_s } = summary.last();
    assert.deepEqual([lr, l, images_per_s], [4.55, 91, 9]); // means of 21 .. 70
    assert.deepEqual(summary.summary().lastTerms, { l: 91 });
  });

  it('is summarised with the mean norm of the gradients of those steps that had one', async () => {
    const log = await openRunLog(run, 0);
    for (const [i, norm] of [20, 28].entries()) await log.write({ ...record(i + 1), grad_norm: norm });
    // Overflows have no norm, also where they are the last steps.
    for (const step of [3, 4]) await log.write({ ...record(step), overflow: 1 });
    const summary = createLogSummary();
    for (const one of await runRecords(run)) summary.add(one);
    assert.equal(summary.summary().lastTerms['grad_norm'], 24);
  });
});

describe('the blocks of a log', () => {
  const START = { offset: 0, cut: false };
  const line = (step: number, text = '') => `${JSON.stringify({ step, text })}\n`;

  /** A file of which a reading returns no more bytes than given; counts those that were read. */
  function fileOf(text: string, most = Number.POSITIVE_INFINITY) {
    const content = Buffer.from(text);
    const file = { bytes: 0, longest: 0, read };
    async function read(buffer: Buffer, at: number, length: number, position: number) {
      file.longest = Math.max(file.longest, length);
      const part = content.subarray(position, position + Math.min(length, most));
      part.copy(buffer, at);
      file.bytes += part.length;
      return { bytesRead: part.length, buffer };
    }
    return file as typeof file & Parameters<typeof readLogBlocks>[0];
  }

  async function stepsOf(text: string, options: { readonly ended?: boolean } = {}, most?: number): Promise<number[]> {
    const steps: number[] = [];
    for await (const { records } of readLogBlocks(fileOf(text, most), START, { ...options, blockBytes: 64 })) {
      steps.push(...records.map(({ step }) => step));
    }
    return steps;
  }

  it('have every line, wherever a block ends and however much a reading returns', async () => {
    for (let pad = 0; pad < 40; pad++) {
      const text = [1, 2, 3, 4, 5, 6].map((step) => line(step, 'é'.repeat(step === 1 ? pad % 20 : step))).join('');
      for (const most of [1, 7, 64])
        assert.deepEqual(await stepsOf(text, {}, most), [1, 2, 3, 4, 5, 6], `${pad} ${most}`);
    }
  });

  it('end before a line without an end, which is the last one of a log that has ended', async () => {
    const text = line(1) + line(2) + line(3).trimEnd();
    assert.deepEqual(await stepsOf(text), [1, 2]);
    assert.deepEqual(await stepsOf(text, { ended: true }), [1, 2, 3]);
    assert.deepEqual(await stepsOf(text.slice(0, -1), { ended: true }), [1, 2]);
  });

  it('leave out a line that is longer than a block', async () => {
    const long = line(2, 'x'.repeat(300));
    assert.deepEqual(await stepsOf(line(1) + long + line(3)), [1, 3]);
    assert.deepEqual(await stepsOf(line(1) + long.trimEnd(), { ended: true }), [1]);
  });

  it('are read one at a time, when they are asked for', async () => {
    const file = fileOf(Array.from({ length: 1000 }, (_, i) => line(i + 1)).join(''));
    const blocks = readLogBlocks(file, START, { blockBytes: 256 });
    const { value } = await blocks.next();
    assert.ok(value.records.length > 1 && value.records.length < 20);
    assert.deepEqual([file.bytes, file.longest], [256, 256]);
    await blocks.return(undefined);
  });
});
