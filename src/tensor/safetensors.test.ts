import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { stream } from './random.js';
import {
  encodeSafetensors,
  parseSafetensors,
  readSafetensors,
  SafetensorsError,
  writeSafetensors,
} from './safetensors.js';
import { type Tensor, tensor, zeros } from './tensor.js';

/** Encodes a file with a given header (text or object), followed by data. */
function file(header: unknown, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.byteLength + data.byteLength);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.byteLength), true);
  bytes.set(json, 8);
  bytes.set(data, 8 + json.byteLength);
  return bytes;
}

const samples = new Map<string, Tensor>([
  ['float32', tensor('float32', [2, 2], Float32Array.of(1.5, -0, Number.POSITIVE_INFINITY, 1e-40))],
  ['float64', tensor('float64', [], Float64Array.of(Math.PI))],
  ['float16', tensor('float16', [3], Uint16Array.of(0x3c00, 0xfc00, 1))],
  ['int32', tensor('int32', [1, 2], Int32Array.of(-(2 ** 31), 2 ** 31 - 1))],
  ['int64', tensor('int64', [2], BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n))],
  ['int8', tensor('int8', [3], Int8Array.of(-128, 0, 127))],
  ['uint8', tensor('uint8', [3], Uint8Array.of(0, 128, 255))],
  ['bool', tensor('bool', [1], Uint8Array.of(1))],
  ['without elements', zeros('float32', [0, 4])],
  ['7', zeros('uint8', [1])],
  ['__proto__', zeros('int32', [1])],
  ['Größe "x"\n', zeros('int64', [1])],
]);

describe('safetensors', () => {
  it('preserves every dtype, shape and name and the metadata in a round trip', () => {
    const metadata = { step: '12', note: 'ü\n"' };
    const parsed = parseSafetensors(encodeSafetensors(samples, metadata));
    assert.deepEqual(parsed.metadata, metadata);
    assert.deepEqual(new Map([...parsed.tensors].sort()), new Map([...samples].sort()));
  });

  it('writes the header length, padded JSON, then little-endian elements, wider dtypes first', () => {
    const bytes = encodeSafetensors(
      new Map<string, Tensor>([
        ['a', tensor('uint8', [3], Uint8Array.of(7, 8, 9))],
        ['b', tensor('float32', [1], Float32Array.of(1))],
      ]),
    );
    const view = new DataView(bytes.buffer);
    const headerBytes = Number(view.getBigUint64(0, true));
    assert.equal((8 + headerBytes) % 8, 0);
    assert.deepEqual(JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes))), {
      b: { dtype: 'F32', shape: [1], data_offsets: [0, 4] },
      a: { dtype: 'U8', shape: [3], data_offsets: [4, 7] },
    });
    assert.deepEqual([...bytes.subarray(8 + headerBytes)], [0, 0, 0x80, 0x3f, 7, 8, 9]);
  });

  it('reads bytes at any offset of a shared buffer', () => {
    const bytes = encodeSafetensors(samples);
    for (let offset = 0; offset < 8; offset++) {
      const pool = Buffer.alloc(bytes.byteLength + offset);
      pool.set(bytes, offset);
      const { tensors } = parseSafetensors(pool.subarray(offset));
      for (const [name, expected] of samples) assert.deepEqual(tensors.get(name), expected, `${name} at ${offset}`);
    }
  });

  it('rejects a tensor whose name is that of the metadata', () => {
    assert.throws(() => encodeSafetensors(new Map([['__metadata__', zeros('uint8', [1])]])), SafetensorsError);
  });

  const entry = (more: object) => ({ dtype: 'F32', shape: [2], data_offsets: [0, 8], ...more });
  const eight = new Uint8Array(8);
  const large = file({});
  new DataView(large.buffer).setBigUint64(0, 2n ** 60n, true);
  const refused: Record<string, readonly [Uint8Array, RegExp]> = {
    'an empty file': [new Uint8Array(0), /^x\.st: 0 bytes are too few/],
    'a truncated header length': [new Uint8Array(7), /^x\.st: 7 bytes are too few/],
    'a header length of 2^60': [large, /^x\.st: the header claims 1152921504606846976 bytes, but the file has 2/],
    'a truncated header': [
      file({ a: entry({}) }, eight).subarray(0, 20),
      /^x\.st: the header claims \d+ bytes, .* truncated/,
    ],
    'truncated elements': [
      file({ a: entry({}) }, eight).subarray(0, -1),
      /^x\.st: "a" \[2\] F32 .* 0\.\.8; is it truncated/,
    ],
    'a header that is not JSON': [file('{"a":'), /^x\.st: the header is not JSON/],
    'a header that is not UTF-8': [file({ a: 1 }).fill(0xff, 9), /^x\.st: the header is not JSON/],
    'a header that is a list': [file([]), /^x\.st: the header is not a JSON object/],
    'a header that is null': [file('null'), /^x\.st: the header is not a JSON object/],
    'an unknown dtype': [file({ a: entry({ dtype: 'BF16' }) }, eight), /^x\.st: "a" has the unsupported dtype BF16/],
    'a dtype of Object.prototype': [
      file({ a: entry({ dtype: 'constructor' }) }, eight),
      /unsupported dtype constructor/,
    ],
    'a shape that does not match the number of bytes': [
      file({ a: entry({ shape: [3] }) }, eight),
      /"a" \[3\] F32 does not fit/,
    ],
    'a shape beyond exact integers': [file({ a: entry({ shape: [2 ** 40, 2 ** 40] }) }, eight), /"a" .* does not fit/],
    'a negative dimension': [file({ a: entry({ shape: [-1, -2] }) }, eight), /entry of "a" is malformed/],
    'a fractional dimension': [file({ a: entry({ shape: [0.5, 4] }) }, eight), /entry of "a" is malformed/],
    'offsets past the end': [file({ a: entry({ data_offsets: [4, 12] }) }, eight), /"a" .* offsets 4\.\.12/],
    'negative offsets': [file({ a: entry({ data_offsets: [-8, 0] }) }, eight), /entry of "a" is malformed/],
    'reversed offsets': [file({ a: entry({ data_offsets: [8, 0] }) }, eight), /"a" .* offsets 8\.\.0/],
    'three offsets': [file({ a: entry({ data_offsets: [0, 8, 8] }) }, eight), /entry of "a" is malformed/],
    'an entry without a shape': [
      file({ a: { dtype: 'U8', data_offsets: [0, 8] } }, eight),
      /entry of "a" is malformed/,
    ],
    'an entry that is null': [file({ a: null }), /entry of "a" is malformed/],
    'tensors that overlap': [
      file({ a: entry({ data_offsets: [0, 8] }), b: entry({ data_offsets: [4, 12] }) }, new Uint8Array(12)),
      /^x\.st: "b" starts at 4 and overlaps a tensor that ends at 8/,
    ],
    'a gap between tensors': [
      file({ a: entry({ data_offsets: [0, 8] }), b: entry({ data_offsets: [12, 20] }) }, new Uint8Array(20)),
      /^x\.st: "b" starts at 12, after a gap that begins at 8/,
    ],
    'bytes after the last tensor': [file({ a: entry({}) }, new Uint8Array(9)), /^x\.st: 1 unused bytes after the last/],
    'metadata that is not strings': [
      file({ __metadata__: { step: 3 } }),
      /^x\.st: __metadata__ must map names to strings/,
    ],
    'metadata that is a string': [file({ __metadata__: 'step 3' }), /^x\.st: __metadata__ must map names to strings/],
  };
  for (const [what, [bytes, message]] of Object.entries(refused)) {
    it(`rejects ${what}`, () => {
      assert.throws(
        () => parseSafetensors(bytes, 'x.st'),
        (error: unknown) => {
          assert.ok(error instanceof SafetensorsError, String(error));
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }

  it('parses damaged bytes or throws SafetensorsError, never another error', () => {
    const good = encodeSafetensors(samples, { step: '1' });
    const random = stream(3, 'damage');
    let rejected = 0;
    for (let round = 0; round < 3000; round++) {
      const bytes = good.slice(0, random.bernoulli(0.2) ? random.integer(good.byteLength) : good.byteLength);
      const flips = 1 + random.integer(4);
      for (let i = 0; i < flips && bytes.byteLength > 0; i++) {
        const at = random.integer(bytes.byteLength);
        bytes[at] = bytes[at]! ^ (1 << random.integer(8));
      }
      try {
        parseSafetensors(bytes, 'damaged');
      } catch (error) {
        assert.ok(error instanceof SafetensorsError, `round ${round}: ${String(error)}`);
        rejected += 1;
      }
    }
    assert.ok(rejected > 1000, `only ${rejected} of 3000 were rejected`);
  });

  describe('on disk', () => {
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'vicregl-safetensors-'));
    });
    after(() => rm(folder, { recursive: true }));

    it('replaces a file completely and leaves no temporary file', async () => {
      const path = join(folder, 'weights.safetensors');
      await writeFile(path, 'old');
      await writeSafetensors(path, samples, { step: '1' });
      const { tensors, metadata } = await readSafetensors(path);
      assert.deepEqual(metadata, { step: '1' });
      assert.deepEqual(tensors.get('float64'), samples.get('float64'));
      assert.deepEqual(await readdir(folder), ['weights.safetensors']);
    });

    it('names the path of a damaged file in the error', async () => {
      const path = join(folder, 'cut.safetensors');
      await writeSafetensors(path, samples);
      await writeFile(path, (await readFile(path)).subarray(0, -1));
      await assert.rejects(readSafetensors(path), (error: unknown) => {
        return error instanceof SafetensorsError && error.message.startsWith(`${path}: `);
      });
    });
  });
});
