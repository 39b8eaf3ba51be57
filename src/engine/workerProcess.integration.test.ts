import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { until } from '../../test/support/until.js';
import { startProcess, type WorkerKind } from './workerProcess.js';

/**
 * A process that opens files until the limit, starts a worker, closes the files and starts another worker. Its model is
 * missing, so that a worker that does start fails for another reason. It prints both errors.
 */
const program = `
  import { closeSync, openSync } from 'node:fs';
  import { startWorkerProcess } from ${JSON.stringify(new URL('./workerProcess.js', import.meta.url).href)};
  const files = { 'backbone.onnx': { bytes: 1, sha256: '' } };
  const setup = { dir: '/nonexistent', graphs: { backbone: 'backbone.onnx' }, files, compute: 'float32', device: 'cpu', threads: 1 };
  const failure = () => startWorkerProcess(setup, () => {}).then(
    () => 'started',
    ({ code, message }) => ({ code, message }),
  );
  const held = [];
  for (;;) {
    try {
      held.push(openSync('/dev/null', 'r'));
    } catch {
      break;
    }
  }
  const full = await failure();
  for (const fd of held) closeSync(fd);
  console.log(JSON.stringify([full, await failure()]));
`;

test('if no more files can be opened, a worker is unavailable, and the process continues', () => {
  const shell = ['-c', 'ulimit -n 96; exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', program];
  const { status, stdout, stderr } = spawnSync('sh', shell, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  const [full, later] = JSON.parse(stdout) as { code: string; message: string }[];
  assert.equal(full!.code, 'unavailable');
  assert.match(full!.message, /EMFILE\) at its start: .*ulimit -n/);
  assert.equal(later!.code, 'unavailable');
  assert.match(later!.message, /backbone\.onnx/);
});

test('a worker that has failed to open its model and does not end is killed', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'vicregl-worker-'));
  const script = join(scratch, 'worker.mjs');
  await writeFile(
    script,
    `import { Socket } from 'node:net';
    import { writeMessage } from ${JSON.stringify(new URL('./messageCodec.js', import.meta.url).href)};
    process.on('SIGTERM', () => {});
    writeMessage(new Socket({ fd: 3 }), { kind: 'failed', message: String(process.pid), failure: {} });
    setInterval(() => {}, 1000);`,
  );
  const unready = (message: string) => new Error(message);
  const kind: WorkerKind<object> = {
    name: 'worker',
    script: pathToFileURL(script),
    lost: unready,
    unready,
    failed: unready,
  };
  try {
    const { message } = await startProcess(kind, {}, () => {}).then(
      () => assert.fail('it started'),
      (error: Error) => error,
    );
    const pid = Number(message);
    assert.ok(pid > 0, message);
    const runs = () => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    assert.ok(runs());
    await until(() => !runs(), 50);
  } finally {
    await rm(scratch, { recursive: true });
  }
});
