import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { writeChunksAtomically } from './atomicFile.js';

describe('writeChunksAtomically', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vicregl-atomic-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('writes the chunks in order, in calls of limited size', async () => {
    const path = join(folder, 'a');
    const chunks = [Uint8Array.of(1, 2, 3, 4, 5), new Uint8Array(0), Uint8Array.of(6, 7)];
    await writeChunksAtomically(path, chunks, { writeBytes: 2 });
    assert.deepEqual([...(await readFile(path))], [1, 2, 3, 4, 5, 6, 7]);
    assert.deepEqual(await readdir(folder), ['a']);
  });

  it('keeps the existing file, and leaves no temporary file, if making a chunk fails', async () => {
    const path = join(folder, 'a');
    await writeFile(path, 'before');
    function* chunks() {
      yield Uint8Array.of(1);
      throw new Error('no more');
    }
    await assert.rejects(writeChunksAtomically(path, chunks()), /no more/);
    assert.equal(await readFile(path, 'utf8'), 'before');
    assert.deepEqual(await readdir(folder), ['a']);
  });
});
