import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';

const code = `
  import { onExit } from 'signal-exit';
  import { stopOnSignals } from '${new URL('./stopOnSignals.js', import.meta.url).href}';
  const off = stopOnSignals(() => console.log('stopping'));
  // As is done while a file is written.
  const written = onExit(() => undefined);
  process.stdin.once('data', () => {
    written();
    off();
    console.log('saved');
    process.exit(0);
  });
  console.log('writing');`;

async function startWriting() {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  return { child, ended };
}

describe('a signal that asks for a graceful stop', () => {
  it('lets a file that is being written be finished', async () => {
    const { child, ended } = await startWriting();
    child.kill('SIGINT');
    await once(child.stdout, 'data');
    child.stdin.write('finished');
    assert.deepEqual(await ended, [0, null]);
  });

  it('ends the process when it comes again', async () => {
    const { child, ended } = await startWriting();
    child.kill('SIGTERM');
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    assert.deepEqual(await ended, [null, 'SIGTERM']);
  });
});
