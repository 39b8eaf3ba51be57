import assert from 'node:assert/strict';
import type { FileHandle } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { writeAll } from './syncedFile.js';

/** A file of which one call writes at most three bytes, and which is full after some. */
function narrowFile(room: number) {
  const content = new Uint8Array(room);
  const calls: (number | null)[] = [];
  let end = 0;
  const file = {
    async write(bytes: Uint8Array, offset: number, length: number, position: number | null) {
      calls.push(position);
      const at = position ?? end;
      if (at >= room) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
      const bytesWritten = Math.min(3, length, room - at);
      content.set(bytes.subarray(offset, offset + bytesWritten), at);
      if (position === null) end = at + bytesWritten;
      return { bytesWritten, buffer: bytes };
    },
  };
  return { file: file as unknown as FileHandle, content, calls };
}

const bytes = Uint8Array.from({ length: 8 }, (_, i) => i + 1);

describe('writing all bytes', () => {
  it('goes on after short writes', async () => {
    const { file, content, calls } = narrowFile(8);
    await writeAll(file, bytes);
    assert.deepEqual(content, bytes);
    assert.deepEqual(calls, [null, null, null]);
  });

  it('goes on after short writes at a position', async () => {
    const { file, content, calls } = narrowFile(10);
    await writeAll(file, bytes, 2);
    assert.deepEqual([...content], [0, 0, ...bytes]);
    assert.deepEqual(calls, [2, 5, 8]);
  });

  it('fails where the rest cannot be written', async () => {
    await assert.rejects(writeAll(narrowFile(7).file, bytes), { code: 'ENOSPC' });
  });
});
