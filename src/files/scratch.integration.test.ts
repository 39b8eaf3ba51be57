import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

const scratchModule = new URL('./scratch.js', import.meta.url).href;

/** Starts a process that works in a scratch folder for ever, once it has said so. */
async function startWork(tmp: string, before = '', begin = 'withScratch(') {
  const code = `
    import { writeFileSync } from 'node:fs';
    import { withFolderBeside, withScratch } from '${scratchModule}';
    ${before}
    await ${begin}async (dir) => {
      writeFileSync(dir + '/maps', 'x');
      console.log('working');
      await new Promise((resolve) => setTimeout(resolve, 2 ** 30));
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    env: { ...process.env, TMPDIR: tmp },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  return { child, ended };
}

describe('a scratch folder', () => {
  let tmp: string;
  before(async () => {
    tmp = await mkdtemp(join(tmpdir(), 'vicregl-scratch-'));
  });
  after(() => rm(tmp, { recursive: true }));

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    it(`is removed when ${signal} ends the process, which ends by that signal`, async () => {
      const { child, ended } = await startWork(tmp);
      assert.equal((await readdir(tmp)).length, 1);
      child.kill(signal);
      assert.deepEqual(await ended, [null, signal]);
      assert.deepEqual(await readdir(tmp), []);
    });
  }

  it('beside a path is removed when SIGINT ends the process, and the folder above it is created', async () => {
    const parent = join(tmp, 'models');
    const { child, ended } = await startWork(tmp, '', `withFolderBeside('${join(parent, 'mine')}', `);
    assert.match((await readdir(parent)).join(), /^\.mine\.[\w-]+\.tmp$/);
    child.kill('SIGINT');
    assert.deepEqual(await ended, [null, 'SIGINT']);
    assert.deepEqual(await readdir(parent), []);
    await rm(parent, { recursive: true });
  });

  it('stays while another listener keeps the signal from ending the process', async () => {
    const { child, ended } = await startWork(tmp, "process.on('SIGINT', () => console.log('ignored'));");
    child.kill('SIGINT');
    await once(child.stdout, 'data');
    assert.equal((await readdir(tmp)).length, 1);
    child.kill('SIGTERM');
    await ended;
    assert.deepEqual(await readdir(tmp), []);
  });
});
