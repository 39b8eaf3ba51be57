import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** `npm run test:unit` preloads a guard. Sample tests show that it detects what a unit test must not do. */

const guard = new URL('../support/unitGuard.js', import.meta.url);

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-unit-guard-'));
});
after(() => rm(scratch, { recursive: true }));

/** Runs a file that contains one test with this body, as the command does. */
async function planted(name: string, body: string) {
  const path = join(scratch, `${name.replace(/\W/g, '-')}.test.mjs`);
  await writeFile(path, `import { test } from 'node:test';\ntest('planted', async () => {\n${body}\n});\n`);
  // With this variable, Node runs no test files from within a test file.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const flags = ['--import', guard.href, '--test', path];
  const { status, stdout } = spawnSync(process.execPath, flags, { encoding: 'utf8', env });
  return { status, stdout };
}

describe('the guard of the unit tests', () => {
  test('accepts a test that stays in its thread', async () => {
    const { status, stdout } = await planted('harmless', 'await import("node:child_process");');
    assert.equal(status, 0, stdout);
  });

  for (const [what, call] of Object.entries({
    spawn: '(await import("node:child_process")).spawn("true")',
    fork: '(await import("node:child_process")).fork("nothing.js")',
    execFileSync: '(await import("node:child_process")).execFileSync("true")',
    Worker: 'new (await import("node:worker_threads")).Worker("", { eval: true })',
    listen: '(await import("node:http")).createServer().listen(0, "127.0.0.1")',
    connect: '(await import("node:net")).connect(1, "127.0.0.1")',
    fetch: 'await fetch("http://127.0.0.1:65000/")',
    lookup: 'await (await import("node:dns/promises")).lookup("localhost")',
  })) {
    test(`fails a test that calls ${what}, also if the error is caught`, async () => {
      const { status, stdout } = await planted(what, `try { ${call}; } catch {}`);
      assert.equal(status, 1, stdout);
      assert.match(stdout, /a unit test may not .*rename the file to \*\.integration\.test\.ts/);
    });
  }

  test('is under tests that share a process but not their hooks, and a file that cannot be loaded fails', async () => {
    const folder = join(scratch, 'shared');
    await mkdir(folder);
    const own = (name: string) =>
      `import { after, before, beforeEach, test } from 'node:test';\nlet ready;\nbefore(() => { ready = '${name}'; });\n` +
      `beforeEach((t) => { if (!t.name.startsWith('${name}')) throw new Error('of another file'); });\n` +
      `after(() => { if (ready !== '${name}') throw new Error('not ready'); });\n` +
      `test('${name}1', () => { if (ready !== '${name}') throw new Error('not ready'); });\n`;
    await writeFile(join(folder, 'a.test.mjs'), own('a'));
    await writeFile(join(folder, 'b.test.mjs'), own('b'));
    await writeFile(join(folder, 'broken.test.mjs'), "import './nowhere.mjs';\n");
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const run = async (names: readonly string[]) => {
      const files = names.map((name) => join(folder, `${name}.test.mjs`));
      const groups = fileURLToPath(new URL('../support/unitGroups.js', import.meta.url));
      execFileSync(process.execPath, [groups, ...files], { cwd: folder, env });
      const made = (await readdir(join(folder, 'dist/unit-groups'))).map((name) =>
        join(folder, 'dist/unit-groups', name),
      );
      return spawnSync(process.execPath, ['--import', guard.href, '--test', ...made], { encoding: 'utf8', env });
    };
    // Nine files: the first and the last stand in one group.
    const fill = Array<string>(7).fill('a');
    const { status, stdout } = await run(['a', ...fill, 'b']);
    assert.equal(status, 0, stdout);
    assert.equal((await run(['a', 'broken'])).status, 1);
  });

  test('is preloaded by npm run test:unit for all tests of src/ except the integration tests', async () => {
    const root = new URL('../../../', import.meta.url);
    const { scripts } = JSON.parse(await readFile(new URL('package.json', root), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const command = scripts['test:unit:run']!;
    const [, preloaded] = /--import (\S+)/.exec(command)!;
    assert.equal(fileURLToPath(new URL(preloaded!, root)), fileURLToPath(guard));
    // Together, the two commands run every existing file once.
    const listed = (name: string): string[] => {
      const [, list] = /\$\((find [^)]*)\)/.exec(scripts[name]!)!;
      return execFileSync('sh', ['-c', list!], { cwd: root, encoding: 'utf8' }).trim().split('\n');
    };
    const [unit, rest] = [listed('test:unit:run'), listed('test:rest')];
    const there = await Promise.all(
      ['src', 'test'].map(async (folder) =>
        (await readdir(new URL(folder, root), { recursive: true }))
          .filter((path) => path.endsWith('.test.ts'))
          .map((path) => join('dist', folder, path.replace(/ts$/, 'js'))),
      ),
    );
    assert.deepEqual([...unit, ...rest].sort(), there.flat().sort());
    assert.ok(unit.every((path) => path.startsWith('dist/src/') && !path.includes('.integration.')));
  });
});
