import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { checkpointPath, listCheckpoints, loadCheckpoint, readCheckpointIndex } from '../../src/train/checkpoint.js';
import { long } from '../support/longTests.js';
import { runRecords } from '../support/runRecords.js';
import { bin } from '../support/servedProcess.js';
import { tinyKeys, writePhotographs } from '../support/tinyRun.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

/** Training on a disk that becomes full. */

const execute = promisify(execFile);

let scratch: string;
let config: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-full-disk-'));
  const photographs = join(scratch, 'photographs');
  await writePhotographs(
    photographs,
    Array.from({ length: 8 }, (_, i) => `${i}.jpg`),
  );
  config = join(scratch, 'tiny.yaml');
  // 2 steps per epoch, with a checkpoint each
  await writeFile(config, stringify({ ...tinyKeys(photographs), checkpoints: { every: 2, keep: 9 } }));
});
after(() => rm(scratch, { recursive: true }));

const checkpointFiles = async (run: string) => (await readdir(join(run, 'checkpoints'))).sort();

/** Checks that the run is in the state of `step`, without partial files, and can be resumed to its end. */
async function assertIntact(run: string, step: number, checkpoint: Buffer): Promise<void> {
  const files = (await listCheckpoints(run)).map((at) => `step-${String(at).padStart(8, '0')}.safetensors`);
  assert.deepEqual(await checkpointFiles(run), ['index.json', ...files]);
  assert.equal((await readCheckpointIndex(run)).latest, step);
  assert.deepEqual(await readFile(checkpointPath(run, step)), checkpoint);
  assert.ok(!(await readdir(run)).includes('run.lock'));
}

describe('a checkpoint that cannot be written completely', long, () => {
  test('because of a file size limit ends the run, names the last good checkpoint, and leaves no partial file', async () => {
    const run = join(scratch, 'limited');
    const first = await vicregl('train', '--config', config, '--set', 'epochs=1', '--out', run);
    assert.equal(first.code, 0, first.stderr);
    const checkpoint = await readFile(checkpointPath(run, 2));
    const kilobytes = Math.floor(checkpoint.length / 2 / 1024);

    const resume = ['train', '--out', run, '--resume', '--set', 'epochs=3'];
    const limited = `ulimit -f ${kilobytes}; exec "$0" "$@"`;
    await assert.rejects(execute('bash', ['-c', limited, process.execPath, bin, ...resume]), (error: unknown) => {
      const { code, stderr } = error as { code: number; stderr: string };
      assert.equal(code, 1, stderr);
      assert.match(
        stderr,
        /\nvicregl: the checkpoint of step 4 cannot be written: EFBIG: .*; that of step 2 is whole\. Make room .* --resume \(/,
      );
      return true;
    });
    await assertIntact(run, 2, checkpoint);

    const second = await vicregl('train', '--out', run, '--resume');
    assert.equal(second.code, 0, second.stderr);
    assert.deepEqual(await listCheckpoints(run), [2, 4, 6]);
    assert.deepEqual(
      (await runRecords(run)).map(({ step }) => step),
      [1, 2, 3, 4, 5, 6],
    );
  });

  test('because the disk is full does the same', async (t) => {
    const disk = join(scratch, 'disk');
    await mkdir(disk);
    const size = (await stat(checkpointPath(join(scratch, 'limited'), 2))).size;
    // room for two checkpoints and the small files, and for half of a third
    const mounted = await execute('mount', [
      '-t',
      'tmpfs',
      '-o',
      `size=${Math.ceil(size * 2.5) + 65536}`,
      'tmpfs',
      disk,
    ])
      .then(() => true)
      .catch(() => false);
    if (!mounted) {
      t.skip('this user cannot mount a small disk');
      return;
    }
    try {
      const run = join(disk, 'run');
      const full = await vicregl('train', '--config', config, '--set', 'epochs=3', '--out', run);
      assert.equal(full.code, 1, full.stderr);
      // any file may be the first that does not fit; curves are not a reason to stop
      assert.match(full.stderr, /\nvicregl: .* cannot be written: ENOSPC: .*--resume \(/);
      const [latest] = (await listCheckpoints(run)).slice(-1);
      assert.ok(latest === 2 || latest === 4, `newest checkpoint: ${latest}`);
      await assertIntact(run, latest, await readFile(checkpointPath(run, latest)));
      assert.equal((await loadCheckpoint(run)).step, latest);

      await execute('mount', ['-o', 'remount,size=64m', disk]);
      const resumed = await vicregl('train', '--out', run, '--resume');
      assert.equal(resumed.code, 0, resumed.stderr);
      assert.equal((await listCheckpoints(run)).at(-1), 6);
      assert.deepEqual(
        (await runRecords(run)).map(({ step }) => step),
        [1, 2, 3, 4, 5, 6],
      );
    } finally {
      await execute('umount', [disk]);
    }
  });
});
