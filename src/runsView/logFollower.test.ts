import assert from 'node:assert/strict';
import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { followLog } from './logFollower.js';

let run: string;
let log: string;
beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), 'vicregl-follow-'));
  log = join(run, 'log.jsonl');
});
afterEach(() => rm(run, { recursive: true }));

const line = (step: number, terms: object = {}) =>
  `${JSON.stringify({ step, epoch: Math.floor(step / 10), lr: 0.1, images_per_s: 40 + step, wait_share: 0, l: step / 2, ...terms })}\n`;

test('a log that does not exist yet has no steps, and is followed once it does', async () => {
  const follower = followLog(run);
  await follower.read();
  assert.deepEqual(await follower.read(), {
    ...{
      revision: 0,
      beginnings: 0,
      steps: 0,
      epoch: 0,
      skipped: 0,
      alarms: [],
      earlierAlarms: 0,
      imagesPerSecond: undefined,
    },
  });
  await writeFile(log, line(1));
  const { steps, beginnings } = await follower.read();
  assert.deepEqual([steps, beginnings], [1, 1]);
});

test('each reading takes what is new, and a line only when it is complete', async () => {
  const follower = followLog(run);
  await writeFile(log, line(1) + line(2));
  assert.deepEqual(await follower.read(), {
    ...{
      revision: 2,
      beginnings: 1,
      steps: 2,
      epoch: 1,
      skipped: 0,
      alarms: [],
      earlierAlarms: 0,
      imagesPerSecond: 41.5,
    },
  });
  const next = line(3);
  await appendFile(log, next.slice(0, 20));
  assert.equal((await follower.read()).revision, 2);
  await appendFile(log, next.slice(20));
  await appendFile(log, `${JSON.stringify({ step: 3, knn_top1: 0.5 })}\n`);
  await appendFile(log, `${JSON.stringify({ step: 3, skipped: 'a.jpg', reason: 'cut' })}\n`);
  await appendFile(log, `${JSON.stringify({ step: 3, alarm: 'collapse', message: 'COLLAPSE: stde' })}\n`);
  const { revision, steps, skipped, alarms } = await follower.read();
  assert.deepEqual([revision, steps, skipped, alarms], [6, 3, 1, [{ step: 3, message: 'COLLAPSE: stde' }]]);
  const curves = follower.curves();
  assert.deepEqual(curves.steps, [1, 2, 3]);
  assert.deepEqual(curves.terms['l'], [0.5, 1, 1.5]);
  assert.deepEqual(curves.terms['knn_top1'], [null, null, 0.5]);
});

test('damaged lines are left out', async () => {
  await writeFile(log, `${line(1)}{"step": 2, "l"\n\0\0\0\nnull\n[]\n7\n${line(3)}`);
  const follower = followLog(run);
  assert.deepEqual([(await follower.read()).revision, follower.curves().steps], [2, [1, 3]]);
});

test('a log that a resumed run has written anew is read from its beginning', async () => {
  const follower = followLog(run);
  await writeFile(log, line(1) + line(2) + line(3));
  const before = (await follower.read()).revision;
  await writeFile(`${log}.new`, line(1) + line(2, { l: 9 }) + line(3) + line(4));
  await rename(`${log}.new`, log);
  const after = await follower.read();
  assert.ok(after.revision > before);
  assert.deepEqual([after.steps, follower.curves().terms['l']], [4, [0.5, 9, 1.5, 2]]);
  // In place, and shorter.
  await writeFile(log, line(1));
  assert.equal((await follower.read()).steps, 1);
});

test('another log under the inode of the one that was read is read from its beginning', async () => {
  const follower = followLog(run);
  await writeFile(log, line(1) + line(2));
  const { revision, beginnings } = await follower.read();
  // In place, which keeps the inode as a file system does that hands a freed one out again; and longer.
  await writeFile(log, line(1, { l: 100 }) + line(2, { l: 101 }) + line(3, { l: 102 }));
  const after = await follower.read();
  assert.deepEqual([after.steps, after.beginnings, follower.curves().terms['l']], [3, beginnings + 1, [100, 101, 102]]);
  assert.ok(after.revision > revision);
  await appendFile(log, line(4, { l: 103 }));
  assert.deepEqual([(await follower.read()).beginnings, follower.curves().steps], [beginnings + 1, [1, 2, 3, 4]]);
});

test('a line longer than any record is left out, also while it grows, and what follows it is read', async () => {
  const follower = followLog(run);
  await writeFile(log, line(1) + 'x'.repeat(3 * 1024 * 1024));
  assert.equal((await follower.read()).steps, 1);
  await appendFile(log, `${'x'.repeat(2 * 1024 * 1024)}\n${line(2)}`);
  assert.deepEqual([(await follower.read()).revision, follower.curves().steps], [2, [1, 2]]);
  await appendFile(log, line(3, { note: 'x'.repeat(500_000) }));
  assert.equal((await follower.read()).steps, 3);
});

test('of many alarms the last ones are given, and the number of the others', async () => {
  const alarm = (step: number) => `${JSON.stringify({ step, alarm: 'collapse', message: 'COLLAPSE' })}\n`;
  await writeFile(log, Array.from({ length: 50 }, (_, i) => alarm(i + 1)).join(''));
  const { alarms, earlierAlarms } = await followLog(run).read();
  assert.deepEqual([alarms.length, alarms[0]!.step, alarms.at(-1)!.step, earlierAlarms], [20, 31, 50, 30]);
});

test('readings at the same time count each record once', async () => {
  await writeFile(log, line(1) + line(2));
  const follower = followLog(run);
  const all = await Promise.all([follower.read(), follower.read(), follower.read()]);
  assert.deepEqual(
    all.map(({ revision }) => revision),
    [2, 2, 2],
  );
});
