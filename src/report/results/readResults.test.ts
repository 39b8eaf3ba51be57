import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { tinyResult, trained } from '../../../test/support/tinyResults.js';
import { readResults } from './readResults.js';

describe('readResults', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-results-'));
    await mkdir(join(root, 'cells', 'b'), { recursive: true });
    await write('one.json', tinyResult([trained()]));
    await write('cells/a.json', tinyResult([trained()]));
    await write('cells/b/c.json', tinyResult([trained()]));
  });
  afterEach(() => rm(root, { recursive: true }));
  const write = (name: string, content: unknown) => writeFile(join(root, name), JSON.stringify(content));
  const read = async (...names: string[]) => {
    const files = await readResults(names.map((name) => join(root, name)));
    return files.map(({ path }) => path.slice(root.length + 1));
  };

  it('reads files, and the results in folders at any depth, each once', async () => {
    await write('cells/config.json', { name: 'no result' });
    await writeFile(join(root, 'cells', 'log.txt'), 'no JSON');
    assert.deepEqual(await read('one.json', 'cells'), ['one.json', 'cells/a.json', 'cells/b/c.json']);
    assert.deepEqual(await read('cells/b', 'cells', 'cells/a.json'), ['cells/b/c.json', 'cells/a.json']);
    await symlink(join(root, 'one.json'), join(root, 'link.json'));
    assert.deepEqual(await read('link.json', 'one.json'), ['link.json']);
  });

  it('names files that are damaged or of another version, in folders too', async () => {
    for (const [content, code, message] of [
      ['{"format": "vicregl-', 'not_json', /b\/d\.json is not JSON/],
      [
        JSON.stringify({ format: 'vicregl-result', formatVersion: 2 }),
        'version',
        /b\/d\.json is a result of format version 2/,
      ],
      [JSON.stringify({ format: 'vicregl-result', formatVersion: 1 }), 'damaged', /b\/d\.json is a damaged result/],
    ] as const) {
      await writeFile(join(root, 'cells', 'b', 'd.json'), content);
      await assert.rejects(read('one.json', 'cells'), { name: 'ResultError', code, message });
    }
  });

  it('names folders without results, files of another kind, and paths that do not exist', async () => {
    await mkdir(join(root, 'empty'));
    await write('empty/config.json', []);
    await assert.rejects(read('empty'), { code: 'foreign', message: /empty contains no result of vicregl evaluate/ });
    await assert.rejects(read('empty/config.json'), { code: 'foreign', message: /config\.json is not a result/ });
    await assert.rejects(read('none.json'), { code: 'unreadable', message: /none\.json cannot be read: there is no/ });
  });
});
