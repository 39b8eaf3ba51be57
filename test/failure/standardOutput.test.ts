import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { bin, type ServedProcess, startServedProcess } from '../support/servedProcess.js';
import { smallDisk } from '../support/smallDisk.js';

/** Commands whose standard output nobody reads, or cannot be written. */

const execute = promisify(execFile);

/** Answered with an error, and logged. */
const call = ({ httpAddress }: ServedProcess): Promise<number> =>
  fetch(`http://${httpAddress}/v1/embeddings`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  }).then(async (response) => {
    await response.arrayBuffer();
    return response.status;
  });

async function exitCodeAfterSigterm(child: ChildProcess): Promise<number | null> {
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const [code] = (await ended) as [number | null];
  return code;
}

test('a service whose log nobody reads answers, and ends at SIGTERM', async (t) => {
  const served = await startServedProcess('--log-level', 'debug');
  t.after(() => served.child.kill('SIGKILL'));
  served.child.stdout!.pause();
  // Some 600 kB of log: more than the pipe holds.
  for (let i = 0; i < 75; i++) {
    const statuses = await Promise.all(Array.from({ length: 20 }, () => call(served)));
    assert.deepEqual(new Set(statuses), new Set([400]));
  }
  assert.equal(await exitCodeAfterSigterm(served.child), 0);
});

test('a service whose log has lost its reader answers, and ends at SIGTERM', async (t) => {
  const served = await startServedProcess('--log-level', 'debug');
  t.after(() => served.child.kill('SIGKILL'));
  served.child.stdout!.destroy();
  for (let i = 0; i < 5; i++) assert.equal(await call(served), 400);
  assert.equal(await exitCodeAfterSigterm(served.child), 0);
});

describe('a command', () => {
  test('whose output has lost its reader ends as if it were read', async () => {
    const child = spawn(process.execPath, [bin, 'serve', '--print-config'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.on('data', (text: Buffer) => {
      stderr += text;
    });
    const [code] = (await once(child, 'close')) as [number];
    assert.deepEqual([code, stderr], [0, '']);
  });

  for (const words of ['serve --print-config', 'models list', '--help', 'train --help', '--version']) {
    test(`whose output cannot be written fails: ${words}`, async () => {
      const { stderr } = await execute('sh', ['-c', `"$0" ${words} > /dev/full; test $? = 1`, bin]);
      assert.match(stderr, /^vicregl: the output cannot be written to standard output: ENOSPC/);
    });
  }

  test('whose output goes to a file that has room for a part of it fails', async (t) => {
    const disk = await mkdtemp(join(tmpdir(), 'vicregl-stdout-'));
    const mounted = smallDisk(t, disk, 64 * 1024);
    t.after(() => rm(disk, { recursive: true }));
    if (!mounted) return;
    await writeFile(join(disk, 'other'), Buffer.alloc(60 * 1024, 'x'));
    const command = `"$0" serve --help > ${join(disk, 'output')}; test $? = 1`;
    const { stderr } = await execute('sh', ['-c', command, bin]);
    assert.match(stderr, /^vicregl: the output cannot be written to standard output: ENOSPC/);
  });

  test('with a wrong command line ends with exit code 1, and says so once', async () => {
    for (const [words, expected] of [
      [['trian'], /^error: unknown command 'trian'\n\(Did you mean train\?\)\n/],
      [['runs', 'show'], /^error: missing required argument 'run'\n/],
      [['a\u001b[31m'], /^error: unknown command 'a\\u001b\[31m'\n/],
    ] as const) {
      await assert.rejects(execute(bin, [...words]), (error: Error & { code?: number; stderr?: string }) => {
        assert.equal(error.code, 1);
        assert.match(error.stderr!, expected);
        assert.equal(error.stderr!.match(/error:/g)!.length, 1);
        return true;
      });
    }
  });
});
