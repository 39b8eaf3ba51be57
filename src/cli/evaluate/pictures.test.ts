import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, test } from 'node:test';
import { fileNamePart, paddedNumber, picturesIn, subjectParts } from './pictures.js';

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

describe('file names of pictures', () => {
  it('keep letters of any script, and both ends of a long name', () => {
    assert.equal(fileNamePart('fotos/Köln 1.jpg'), 'fotos_Köln_1.jpg');
    const long = (end: string) => fileNamePart(`${'a'.repeat(145)}.png ${end}`);
    assert.match(long('perspective 2'), /^a{48}\.\.\.a+\.png_perspective_2$/);
    assert.notEqual(long('perspective 1'), long('perspective 2'));
    assert.ok(Buffer.byteLength(fileNamePart('写'.repeat(200))) <= 99);
  });

  it('have a number for each subject where the names alone are the same', () => {
    assert.deepEqual(subjectParts(['trained', 'pixels']), ['trained', 'pixels']);
    assert.deepEqual(subjectParts(['trained', 'm 1 (a/b)', 'm 1 (a b)']), ['1-trained', '2-m_1_a_b_', '3-m_1_a_b_']);
  });

  it('have numbers that sort in their order', () => assert.equal(paddedNumber(8, 120), '009'));
});
