import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { smallDisk } from '../../test/support/smallDisk.js';
import { tinyConfig } from '../../test/support/tinyRun.js';
import { setLaterCheckpointsAside } from './checkpoint.js';
import { writeRunFolder } from './runFolder.js';
import { lockRun } from './runLock.js';
import { openRunLog } from './runLog.js';
import { createEventFile } from './tensorboard/eventFile.js';

const KIB = 1024;

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-full-run-'));
});
after(() => rm(scratch, { recursive: true }));

/** A run folder with some content on a disk that has no more room than given; undefined where the test is skipped. */
async function runOnFullDisk(t: TestContext, content: Readonly<Record<string, string>>, room = 0) {
  const disk = await mkdtemp(join(scratch, 'disk-'));
  if (!smallDisk(t, disk, 64 * KIB)) return undefined;
  const run = join(disk, 'run');
  await mkdir(join(run, 'checkpoints'), { recursive: true });
  for (const [name, text] of Object.entries(content)) await writeFile(join(run, name), text);
  const pages = Object.values(content).reduce((sum, text) => sum + Math.ceil(text.length / 4096), 0);
  await writeFile(join(disk, 'other'), Buffer.alloc(64 * KIB - 4096 * pages - room, 'x'));
  return run;
}

describe('a run on a full disk', () => {
  it('keeps its whole log when it cannot be resumed', async (t) => {
    const lines = Array.from(
      { length: 40 },
      (_, i) => `${JSON.stringify({ step: i + 1, lr: 0.1, note: 'x'.repeat(200) })}\n`,
    );
    const log = lines.join('');
    // Room for two pages of a log of three.
    const run = await runOnFullDisk(t, { 'log.jsonl': log }, 8 * KIB);
    if (run === undefined) return;
    const path = join(run, 'log.jsonl');
    await assert.rejects(openRunLog(run, 40), {
      name: 'RunRecordError',
      message: `${path} cannot be written: ENOSPC: no space left on device, write; make room and go on with --resume`,
    });
    assert.equal(await readFile(path, 'utf8'), log);
  });

  it('names the file that cannot be written', async (t) => {
    const checkpoint = 'checkpoints/step-00000002.safetensors';
    const run = await runOnFullDisk(t, { [checkpoint]: 'x' });
    if (run === undefined) return;
    const full = /: no space left on the device \(ENOSPC\)$/;
    const refused =
      (file: string, message = full) =>
      (error: Error) => {
        assert.match(error.message, message);
        assert.ok(error.message.includes(`${join(run, file)}`), error.message);
        return true;
      };
    const config = tinyConfig('photographs');
    await assert.rejects(writeRunFolder(run, config, { device: 'cpu', step: 0 }), refused('config.yaml'));
    await assert.rejects(lockRun(run), refused('run.lock'));
    await assert.rejects(setLaterCheckpointsAside(run, 0), refused('checkpoints/index.json'));
    const events = refused(
      'tensorboard/events.out.tfevents.',
      / cannot be written: ENOSPC.*; make room and go on with --resume$/,
    );
    await assert.rejects(createEventFile(join(run, 'tensorboard'), 0), events);
  });
});
