import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createEventFile } from './eventFile.js';

let folder: string;
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'vicregl-events-')), 'tensorboard');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** CRC-32C bit by bit (polynomial 0x1EDC6F41, reflected): independent of the library that the writer uses. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

const masked = (bytes: Uint8Array) => {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
};

/** The records of a TFRecord file, every checksum checked. */
function records(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    assert.equal(bytes.readUInt32LE(at + 8), masked(bytes.subarray(at, at + 8)), 'checksum of a length');
    const body = bytes.subarray(at + 12, at + 12 + length);
    assert.equal(body.length, length);
    assert.equal(bytes.readUInt32LE(at + 12 + length), masked(body), 'checksum of a record');
    found.push(body);
    at += 12 + length + 4;
  }
  return found;
}

type Field = number | Buffer;

/** The fields of a protocol buffer message by number, read off the wire without a schema. */
function fields(bytes: Buffer): Map<number, Field[]> {
  const found = new Map<number, Field[]>();
  let at = 0;
  const varint = () => {
    let [value, scale] = [0, 1];
    for (;;) {
      const byte = bytes[at++]!;
      value += (byte & 127) * scale;
      scale *= 128;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    let value: Field;
    if ((key & 7) === 0) value = varint();
    else if ((key & 7) === 1) {
      value = bytes.readDoubleLE(at);
      at += 8;
    } else if ((key & 7) === 5) {
      value = bytes.readFloatLE(at);
      at += 4;
    } else {
      assert.equal(key & 7, 2);
      const length = varint();
      value = bytes.subarray(at, at + length);
      at += length;
    }
    found.set(key >> 3, [...(found.get(key >> 3) ?? []), value]);
  }
  return found;
}

const message = (parent: Map<number, Field[]>, field: number) => fields(parent.get(field)![0] as Buffer);
const string = (parent: Map<number, Field[]>, field: number) => String(parent.get(field)![0]);
const events = async (path: string) => records(await readFile(path)).map(fields);

describe("the test's checksum", () => {
  it('is CRC-32C', () => assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283)); // RFC 3720, B.4
});

describe('an event file', () => {
  it("has version, step, time and scalars in TensorFlow's encoding", async () => {
    const file = await createEventFile(folder, 0);
    const before = Date.now() / 1e3;
    await file.scalars(300, { 'loss/l': 24.5, 'run/lr': 1e-3 });
    await file.close();
    const [version, , step, ...others] = await events(file.path);
    assert.equal(string(version!, 3), 'brain.Event:2');
    assert.deepEqual(others, []);
    assert.equal(step!.get(2)![0], 300);
    const time = step!.get(1)![0] as number;
    assert.ok(time >= before - 1e-3 && time < before + 60);
    const values = (message(step!, 5).get(1) as Buffer[]).map(fields);
    assert.deepEqual(
      values.map((value) => [string(value, 1), value.get(2)![0]]),
      [
        ['loss/l', 24.5],
        ['run/lr', Math.fround(1e-3)],
      ],
    );
  });

  it('has texts for the text plug-in', async () => {
    const file = await createEventFile(folder, 0);
    await file.text(7, 'alarm', 'a **collapse**');
    await file.close();
    const [, , event] = await events(file.path);
    const value = message(message(event!, 5), 1);
    assert.equal(string(value, 1), 'alarm');
    assert.equal(string(message(message(value, 9), 1), 1), 'text');
    const tensor = message(value, 8);
    assert.deepEqual([tensor.get(1)![0], string(tensor, 8)], [7, 'a **collapse**']);
    assert.equal(message(message(tensor, 2), 2).get(1)![0], 1);
  });

  it('of a resumed run is another file, which names the step from which it applies', async () => {
    const first = await createEventFile(folder, 0);
    const second = await createEventFile(folder, 40);
    await Promise.all([first.close(), second.close()]);
    assert.deepEqual(
      (await readdir(folder)).map((name) => join(folder, name)),
      [first.path, second.path],
    );
    const [, start] = await events(second.path);
    assert.equal(start!.get(2)![0], 41);
    assert.equal(message(start!, 7).get(1)![0], 1);
  });
});
