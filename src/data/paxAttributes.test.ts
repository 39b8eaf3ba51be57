import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { paxAttributes } from './paxAttributes.js';

/** A record, whose length includes its own digits. */
function record(text: string): string {
  const bytes = Buffer.byteLength(text) + 2;
  const length = [1, 2, 3].map((digits) => bytes + digits).find((sum, i) => String(sum).length === i + 1);
  return `${length} ${text}\n`;
}

const read = (text: string) => paxAttributes(Buffer.from(text));

describe('the attributes of a pax header', () => {
  it('are divided by their lengths in bytes', () => {
    assert.deepEqual(read(record('path=ü.jpg') + record('size=7')), { path: 'ü.jpg', size: 7 });
    assert.deepEqual(read(record('path=a\n9 size=7\nb=c.jpg')), { path: 'a\n9 size=7\nb=c.jpg' });
    assert.deepEqual(read(`${record('mtime=1.25')}${record('linkpath=')}\0\0`), { linkpath: '' });
    assert.deepEqual(read(''), {});
  });

  it('that are malformed are found', () => {
    for (const text of [
      '13 path=a.jpg\n',
      '15 path=a.jpg\n',
      'path=a.jpg\n',
      '0 \n',
      '-5 a=b\n',
      record('size=x'),
      record('size=-1'),
      record('abc'),
      '99 a=b\n',
      ' a=b\n',
    ]) {
      assert.equal(read(text), undefined, JSON.stringify(text));
    }
  });
});
