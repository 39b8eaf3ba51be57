import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

test('the kind of a pipe does not keep Node from resolving symbolic links', async (t) => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'vicregl-kind-')));
  t.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, 'packages'));
  await writeFile(join(folder, 'packages', 'where.mjs'), 'console.log(import.meta.url);');
  await writeFile(join(folder, 'first.mjs'), '');
  await symlink(join(folder, 'packages'), join(folder, 'linked'));
  const code = `
    import { openFileKind } from '${new URL('./openFileKind.js', import.meta.url).href}';
    await import('${join(folder, 'first.mjs')}');
    console.log(openFileKind(1).isFIFO() || openFileKind(1).isSocket());
    await import('${join(folder, 'linked', 'where.mjs')}');`;
  // Standard output is a pipe or a socket.
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', code]);
  assert.deepEqual(stdout.trim().split('\n'), ['true', `file://${join(folder, 'packages', 'where.mjs')}`]);
});
