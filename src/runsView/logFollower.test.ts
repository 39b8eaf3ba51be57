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
  assert.deepEqual(await follower.read(), {
    ...{ revision: 0, steps: 0, epoch: 0, skipped: 0, alarms: [], imagesPerSecond: undefined },
  });
  await writeFile(log, line(1));
  assert.equal((await follower.read()).steps, 1);
});

test('each reading takes what is new, and a line only when it is complete', async () => {
  const follower = followLog(run);
  await writeFile(log, line(1) + line(2));
  assert.deepEqual(await follower.read(), {
    ...{ revision: 2, steps: 2, epoch: 1, skipped: 0, alarms: [], imagesPerSecond: 42 },
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

test('a line that is longer than a block is read whole', async () => {
  await writeFile(log, line(1) + line(2, { note: 'x'.repeat(3 * 1024 * 1024) }) + line(3));
  const follower = followLog(run);
  assert.equal((await follower.read()).steps, 3);
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
