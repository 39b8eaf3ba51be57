import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { picturesIn } from './pictures.js';

test('a picture that cannot be written is reported at the end, and ends the drawing alone', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'vicregl-pictures-'));
  try {
    const pictures = picturesIn(dir);
    await pictures.write('a.png', Buffer.from('a'));
    pictures.finish();
    await mkdir(join(dir, 'in-the-way'));
    await pictures.write(join('in-the-way', 'missing', 'b.png'), Buffer.from('b'));
    await pictures.write('c.png', Buffer.from('c'));
    assert.deepEqual((await readdir(dir)).sort(), ['a.png', 'in-the-way']);
    assert.throws(() => pictures.finish(), { name: 'OutputError', message: /^--pictures: .*b\.png cannot be written/ });
  } finally {
    await rm(dir, { recursive: true });
  }
});
