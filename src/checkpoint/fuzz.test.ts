import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { memorySource } from '../../test/support/memorySource.js';
import { storedZip } from '../../test/support/storedZip.js';
import { encodeSafetensors } from '../tensor/safetensors.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { CheckpointFileError } from './checkpointFileError.js';
import { openCheckpoint } from './openCheckpoint.js';
import { unpickle } from './pickleMachine.js';
import { storageOfId, torchGlobals } from './torchObjects.js';
import { readZipDirectory, zipEntryStart } from './zipDirectory.js';

/** Every damaged file is either read or rejected with CheckpointFileError; no other error is thrown. */

const SEED = 20221007;

const fixture = async (name: string) => new Uint8Array(await readFile(`test/fixtures/checkpoints/${name}`));
const zip = await fixture('zip.pth');
const legacy = await fixture('legacy.pth');
const safetensors = encodeSafetensors(
  new Map<string, Tensor>([
    ['backbone.norm.weight', tensor('float32', [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6))],
    ['half', tensor('float16', [3], Uint16Array.of(1, 2, 3))],
    ['steps', tensor('int64', [], BigInt64Array.of(3n))],
  ]),
  { step: '4', seed: '0' },
);

/** The entries of a file of torch.save, to change the pickle with correct checksums. */
const entries = await (async () => {
  const source = memorySource(zip);
  const parts: { name: string; data: Uint8Array }[] = [];
  for (const entry of (await readZipDirectory(source)).values()) {
    parts.push({ name: entry.name, data: await source.read(await zipEntryStart(source, entry), entry.size) });
  }
  return parts;
})();
const withPickle = (act: Change) =>
  storedZip(entries.map(({ name, data }) => ({ name, data: name.endsWith('/data.pkl') ? act(data) : data })));

type Change = (bytes: Uint8Array) => Uint8Array;

const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const at = (share: number, bytes: Uint8Array) => Math.floor(share * bytes.length);
const written = (bytes: Uint8Array, share: number, patch: readonly number[]) => {
  const out = Uint8Array.from(bytes);
  patch.forEach((value, i) => {
    if (at(share, bytes) + i < out.length) out[at(share, bytes) + i] = value;
  });
  return out;
};

/** Bits are flipped, bytes overwritten (also with extreme lengths), the file is truncated, and bytes are removed or copied. */
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(place, fc.nat(7)).map(
    ([share, bit]): Change =>
      (bytes) => {
        const out = Uint8Array.from(bytes);
        if (out.length > 0) out[at(share, bytes)]! ^= 1 << bit;
        return out;
      },
  ),
  fc
    .tuple(
      place,
      fc.oneof(
        fc.array(fc.nat(255), { minLength: 1, maxLength: 8 }),
        fc.constantFrom([0xff, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0x7f], [0, 0, 0, 0, 0, 0, 0, 0x10], [0, 0, 0, 0]),
      ),
    )
    .map(
      ([share, patch]): Change =>
        (bytes) =>
          written(bytes, share, patch),
    ),
  place.map(
    (share): Change =>
      (bytes) =>
        bytes.slice(0, at(share, bytes)),
  ),
  fc.tuple(place, fc.nat(40)).map(
    ([share, count]): Change =>
      (bytes) => {
        const cut = at(share, bytes);
        return new Uint8Array(Buffer.concat([bytes.subarray(0, cut), bytes.subarray(cut + count)]));
      },
  ),
  fc.tuple(place, place, fc.nat(60)).map(
    ([from, to, count]): Change =>
      (bytes) => {
        const [start, target] = [at(from, bytes), at(to, bytes)];
        const piece = bytes.subarray(start, start + count);
        return new Uint8Array(Buffer.concat([bytes.subarray(0, target), piece, bytes.subarray(target)]));
      },
  ),
);
const changes = fc.array(change, { minLength: 1, maxLength: 3 });
const applied = (bytes: Uint8Array, list: readonly Change[]) => list.reduce((found, act) => act(found), bytes);

/** Reads the elements of all tensors; undefined if the file is rejected with the right error. */
async function readAll(bytes: Uint8Array): Promise<Map<string, string> | undefined> {
  const source = memorySource(bytes);
  try {
    const checkpoint = await openCheckpoint(source);
    const found = new Map<string, string>();
    for (const [name, { type }] of checkpoint.tensors) {
      if (!/float/.test(type)) continue;
      const { shape, data } = await checkpoint.read(name);
      found.set(name, `${shape}: ${data.join(' ')}`);
    }
    return found;
  } catch (error) {
    assert.ok(error instanceof CheckpointFileError, `rejected with ${error instanceof Error ? error.stack : error}`);
    assert.ok(error.message.startsWith('file.pth'), error.message);
    return undefined;
  } finally {
    // The number of bytes read is bounded, whatever sizes the file claims.
    assert.ok(
      source.bytesRead() <= 40 * (bytes.length + 70_000),
      `${source.bytesRead()} bytes read of ${bytes.length}`,
    );
  }
}

describe('damaged checkpoints', () => {
  it('of PyTorch give the saved weights or a clear error, never other weights (3,000 files)', async () => {
    const intact = await readAll(zip);
    assert.ok(intact !== undefined && intact.size >= 12);
    let rejected = 0;
    await fc.assert(
      fc.asyncProperty(changes, async (list) => {
        const found = await readAll(applied(zip, list));
        if (found === undefined) rejected += 1;
        else assert.deepEqual(found, intact);
      }),
      { seed: SEED, numRuns: 3000 },
    );
    assert.ok(rejected > 1500, `${rejected} of 3000 were rejected`);
  });

  it('of PyTorch with any single byte inverted give the saved weights or a clear error', async () => {
    const intact = await readAll(zip);
    for (let i = 0; i < zip.length; i++) {
      const found = await readAll(written(zip, (i + 0.5) / zip.length, [zip[i]! ^ 0xff]));
      if (found !== undefined) assert.deepEqual(found, intact, `byte ${i}`);
    }
  });

  it('of PyTorch with correct checksums are read or rejected (3,000 pickles)', async () => {
    assert.deepEqual(await readAll(withPickle((bytes) => bytes)), await readAll(zip));
    let read = 0;
    await fc.assert(
      fc.asyncProperty(changes, async (list) => {
        if ((await readAll(withPickle((bytes) => applied(bytes, list)))) !== undefined) read += 1;
      }),
      { seed: SEED, numRuns: 3000 },
    );
    // Most changes break the pickle; some change only a number or a name.
    assert.ok(read > 10 && read < 2900, `${read} of 3000 were read`);
  });

  it('of PyTorch before 1.6 are read or rejected (3,000 files)', async () => {
    assert.ok((await readAll(legacy))!.size >= 12);
    await fc.assert(
      fc.asyncProperty(changes, async (list) => {
        await readAll(applied(legacy, list));
      }),
      { seed: SEED, numRuns: 3000 },
    );
  });

  it('in safetensors are read or rejected (3,000 files)', async () => {
    assert.equal((await readAll(safetensors))!.size, 2);
    await fc.assert(
      fc.asyncProperty(changes, async (list) => {
        await readAll(applied(safetensors, list));
      }),
      { seed: SEED, numRuns: 3000 },
    );
  });

  it('of random bytes after a known signature are read or rejected (2,000 files)', async () => {
    const heads = [[0x50, 0x4b, 3, 4], [0x80, 2, 0x8a, 10], [1, 0, 0, 0, 0, 0, 0, 0, 0x7b], []];
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 300 }), async (head, rest) => {
        await readAll(Uint8Array.from([...head, ...rest]));
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
});

describe('pickles of random opcodes', () => {
  it('give a value or a clear error (10,000 pickles)', () => {
    const known =
      '(0 1 2 N \x88 \x89 K\x01 M\x01\x02 ] ) } \x8f t \x85 \x86 \x87 d a e s u \x90 q\x00 h\x00 q\x01 h\x01 \x94 R b Q \x81 o l \x91'
        .split(' ')
        .concat([
          'ccollections\nOrderedDict\n',
          'ctorch._utils\n_rebuild_tensor_v2\n',
          'ctorch\nFloatStorage\n',
          'X\x07\x00\x00\x00storage',
        ])
        .concat([
          'cargparse\nNamespace\n',
          'ctorch\nSize\n',
          'ctorch._utils\n_rebuild_parameter\n',
          'ccollections\nCounter\n',
        ]);
    let valid = 0;
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...known), { maxLength: 30 }), (program) => {
        const bytes = new Uint8Array(Buffer.from(`\x80\x02${program.join('')}.`, 'latin1'));
        try {
          unpickle(bytes, 0, { globals: torchGlobals, persistent: storageOfId });
          valid += 1;
        } catch (error) {
          assert.ok(error instanceof CheckpointFileError, String(error));
        }
      }),
      { seed: SEED, numRuns: 10_000 },
    );
    assert.ok(valid > 100, `${valid} programs gave a value`);
  });
});
