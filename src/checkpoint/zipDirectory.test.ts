import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { memorySource } from '../../test/support/memorySource.js';
import { storedZip } from '../../test/support/storedZip.js';
import { readZipDirectory, zipEntryStart } from './zipDirectory.js';

const zipError = (message: RegExp) => ({ name: 'CheckpointFileError', message });
const directory = (bytes: Uint8Array) => readZipDirectory(memorySource(bytes, 'a.pth'));
const refuses = (bytes: Uint8Array, message: RegExp) => assert.rejects(directory(bytes), zipError(message));
const data = Buffer.from('weights');

describe('readZipDirectory', () => {
  for (const zip64 of [false, true]) {
    it(`lists stored entries${zip64 ? ' with 64-bit sizes and offsets' : ''}, and finds their bytes`, async () => {
      const bytes = storedZip(
        [
          { name: 'a/x', data: Buffer.from('first') },
          { name: 'a/é', data },
        ],
        { zip64 },
      );
      const source = memorySource(bytes);
      const entries = await readZipDirectory(source);
      assert.deepEqual([...entries.keys()], ['a/x', 'a/é']);
      const entry = entries.get('a/é')!;
      const start = await zipEntryStart(source, entry);
      assert.deepEqual(Buffer.from(await source.read(start, entry.size)), data);
    });
  }

  it('rejects compressed entries (possible bombs), whatever sizes they claim', () =>
    refuses(
      storedZip([{ name: 'data.pkl', data, claims: { method: 8, size: 2 ** 31 } }]),
      /entry "data\.pkl" is compressed \(deflate\)/,
    ));

  it('rejects entries that are larger than the file', async () => {
    await refuses(
      storedZip([{ name: 'x', data, claims: { size: 4e9 } }]),
      /is uncompressed, but its sizes differ: 7 and 4000000000 bytes/,
    );
    await refuses(
      storedZip([{ name: 'x', data, claims: { size: 4e9, packed: 4e9 } }]),
      /zip entry "x": .* exceed its size/,
    );
    await refuses(storedZip([{ name: 'x', data, claims: { size: 30, packed: 30 } }]), /overlaps the directory/);
    await refuses(
      storedZip([{ name: 'x', data, claims: { size: 2 ** 60, packed: 2 ** 60 } }], { zip64: true }),
      /zip entry "x": 1152921504606847000 bytes at 0 exceed/,
    );
  });

  it('rejects encrypted entries and duplicate names', async () => {
    await refuses(storedZip([{ name: 'x', data, claims: { flags: 1 } }]), /entry "x" is encrypted/);
    await refuses(
      storedZip([
        { name: 'x', data },
        { name: 'x', data },
      ]),
      /it contains zip entry "x" twice/,
    );
  });

  it('rejects entries that overlap', async () => {
    const bytes = storedZip([
      { name: 'x', data },
      { name: 'y', data },
    ]);
    const second = Buffer.from(bytes).lastIndexOf('PK\x01\x02');
    new DataView(bytes.buffer).setUint32(second + 42, 0, true);
    await refuses(bytes, /zip entries "x" and "y" overlap/);
  });

  it('rejects an archive that is truncated at any position', async () => {
    const bytes = storedZip([
      { name: 'x', data },
      { name: 'y', data },
    ]);
    for (let length = 4; length < bytes.length; length++) {
      await refuses(bytes.subarray(0, length), /is it truncated\?/);
    }
  });

  it('rejects a directory with wrong counts, sizes or offsets', async () => {
    const bytes = storedZip([{ name: 'x', data }]);
    const end = bytes.length - 22;
    const claim = (offset: number, value: number, width: 2 | 4) => {
      const changed = Uint8Array.from(bytes);
      const view = new DataView(changed.buffer);
      if (width === 2) view.setUint16(end + offset, value, true);
      else view.setUint32(end + offset, value, true);
      return changed;
    };
    await refuses(claim(10, 9, 2), /lists 1 entries but claims 9/);
    await refuses(claim(12, 2 ** 31, 4), /claims 2147483648 bytes; the limit is 67108864/);
    await refuses(claim(16, 2 ** 31, 4), /its zip directory: .* exceed its size/);
    await refuses(claim(16, 0, 4), /entry 0 of its zip directory is damaged/);
  });
});

describe('zipEntryStart', () => {
  it('rejects an entry whose local header belongs to another entry', async () => {
    const bytes = storedZip([
      { name: 'x', data },
      { name: 'y', data },
    ]);
    const source = memorySource(bytes, 'a.pth');
    const entries = await readZipDirectory(source);
    const moved = { ...entries.get('x')!, headerAt: entries.get('y')!.headerAt };
    await assert.rejects(
      zipEntryStart(source, moved),
      zipError(/zip entry "x" is not at the position given by the directory/),
    );
    await assert.rejects(zipEntryStart(source, { ...moved, headerAt: 3 }), zipError(/zip entry "x"/));
  });
});
