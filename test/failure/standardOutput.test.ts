import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { bin, type ServedProcess, startServedProcess } from '../support/servedProcess.js';

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

  for (const words of ['serve --print-config', 'models list']) {
    test(`whose output cannot be written fails: ${words}`, async () => {
      const { stderr } = await execute('sh', ['-c', `"$0" ${words} > /dev/full; test $? = 1`, bin]);
      assert.match(stderr, /^vicregl: the output cannot be written to standard output: ENOSPC/);
    });
  }
});
