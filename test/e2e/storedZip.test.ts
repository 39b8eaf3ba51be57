import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readZipDirectory, zipEntryStart } from '../../src/checkpoint/zipDirectory.js';
import { storedZip } from '../../src/serve/http/storedZip.js';
import { memorySource } from '../support/memorySource.js';

test('a stored archive is read back, member by member, and the same members give the same bytes', async () => {
  const members = [
    { name: 'features.npy', data: Uint8Array.from({ length: 300 }, (_, i) => i) },
    { name: 'empty', data: new Uint8Array(0) },
    { name: 'response.json', data: Buffer.from('{"a": 1}') },
  ];
  const bytes = storedZip(members);
  const source = memorySource(bytes);
  const directory = await readZipDirectory(source);
  assert.deepEqual(
    [...directory.keys()],
    members.map(({ name }) => name),
  );
  for (const { name, data } of members) {
    const entry = directory.get(name)!;
    const start = await zipEntryStart(source, entry);
    assert.deepEqual(Buffer.from(bytes.subarray(start, start + entry.size)), Buffer.from(data), name);
  }
  assert.deepEqual(storedZip(members), bytes);
});
