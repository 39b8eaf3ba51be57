import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';

const HIDDEN = ['\u001b[?25l', '\u001b[?7l'];
const RESTORED = ['\u001b[?25h', '\u001b[?7h'];

/** Starts a process that draws a bar, on what it takes for a terminal, and ends well once it is told so. */
async function startBar(before = '') {
  const code = `
    import { showProgress } from '${new URL('./work.js', import.meta.url).href}';
    import { stopOnSignals } from '${new URL('../cli/stopOnSignals.js', import.meta.url).href}';
    const { stderr } = process;
    Object.assign(stderr, { isTTY: true, columns: 100, cursorTo: () => true, clearLine: () => true });
    ${before}
    const progress = showProgress(stderr);
    progress.begin('embedding', 10, 'images');
    progress.advance();
    process.stdin.once('data', () => {
      progress.advance(9);
      progress.stop();
      console.log('finished');
      process.exit(0);
    });
    console.log('working');`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], { stdio: 'pipe' });
  const [ended, drawn] = [once(child, 'exit'), text(child.stderr)];
  await once(child.stdout, 'data');
  return { child, ended, drawn };
}

const graceful = "stopOnSignals(() => console.log('stopping'));";

function assertRestored(drawn: string): void {
  for (const sequence of [...HIDDEN, ...RESTORED]) assert.ok(drawn.includes(sequence), JSON.stringify(sequence));
  for (const [i, hidden] of HIDDEN.entries()) {
    assert.ok(drawn.lastIndexOf(RESTORED[i]!) > drawn.lastIndexOf(hidden), JSON.stringify(drawn));
  }
}

describe('a bar on a terminal', () => {
  it('does not turn the first Ctrl-C of a command that stops gracefully into a second one', async () => {
    const { child, ended, drawn } = await startBar(graceful);
    child.kill('SIGINT');
    assert.equal(String((await once(child.stdout, 'data'))[0]), 'stopping\n');
    child.stdin.write('go on');
    assert.deepEqual(await ended, [0, null]);
    assert.match(await drawn, /10\/10 images/);
    assertRestored(await drawn);
  });

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`is restored by a second ${signal}, which ends the process`, async () => {
      const { child, ended, drawn } = await startBar(graceful);
      child.kill(signal);
      await once(child.stdout, 'data');
      child.kill(signal);
      assert.deepEqual(await ended, [null, signal]);
      assertRestored(await drawn);
    });

    it(`is restored by ${signal} in a command that does not stop gracefully`, async () => {
      const { child, ended, drawn } = await startBar();
      child.kill(signal);
      assert.deepEqual(await ended, [null, signal]);
      assertRestored(await drawn);
    });
  }

  it('is restored by the end of the process', async () => {
    const { ended, drawn } = await startBar('setTimeout(() => process.exit(3), 100);');
    assert.deepEqual(await ended, [3, null]);
    assertRestored(await drawn);
  });
});
