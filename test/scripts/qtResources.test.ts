import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateSync } from 'node:zlib';
import { readQtResources } from '../../scripts/data/qtResources.js';

/** A version-1 resource file with a/plain (uncompressed) and a/packed (zlib). */
function resourceFile(): Buffer {
  const names: Buffer[] = [];
  const nameOffset = (text: string): number => {
    const offset = Buffer.concat(names).length;
    const head = Buffer.alloc(6);
    head.writeUInt16BE(text.length);
    names.push(head, Buffer.from(text, 'utf16le').swap16());
    return offset;
  };
  const packed = Buffer.concat([Buffer.from([0, 0, 0, 6]), deflateSync(Buffer.from('packed'))]);
  const data = Buffer.concat(
    [Buffer.from('plain'), packed].flatMap((payload) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(payload.length);
      return [length, payload];
    }),
  );
  const node = (name: number, flags: number, a: number, b: number): Buffer => {
    const bytes = Buffer.alloc(14);
    bytes.writeUInt32BE(name);
    bytes.writeUInt16BE(flags, 4);
    bytes.writeUInt32BE(a, 6);
    bytes.writeUInt32BE(b, 10);
    return bytes;
  };
  const tree = Buffer.concat([
    node(0, 2, 1, 1),
    node(nameOffset('a'), 2, 2, 2),
    node(nameOffset('plain'), 0, 0, 0),
    node(nameOffset('packed'), 1, 0, 9),
  ]);
  const head = Buffer.alloc(20);
  head.write('qres', 'latin1');
  [1, 20, 20 + tree.length, 20 + tree.length + data.length].forEach((value, i) => {
    head.writeUInt32BE(value, 4 + 4 * i);
  });
  return Buffer.concat([head, tree, data, ...names]);
}

test('uncompressed and zlib-compressed files are read with their paths', () => {
  const files = readQtResources(resourceFile());
  assert.deepEqual(
    [...files].map(([path, bytes]) => [path, bytes.toString()]),
    [
      ['a/plain', 'plain'],
      ['a/packed', 'packed'],
    ],
  );
});

test('other bytes are rejected', () => {
  assert.throws(() => readQtResources(Buffer.from('not a resource file at all')), /magic "qres" is missing/);
});
