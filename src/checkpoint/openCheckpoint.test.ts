import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { memorySource } from '../../test/support/memorySource.js';
import {
  call,
  dict,
  global,
  int,
  none,
  type Pickled,
  rebuilt,
  recall,
  remember,
  remembered,
  storage,
  str,
  tuple,
} from '../../test/support/pickles.js';
import { storedZip } from '../../test/support/storedZip.js';
import { float32Bytes, legacyTorchFile, stateDict, torchFile } from '../../test/support/torchFile.js';
import { encodeSafetensors } from '../tensor/safetensors.js';
import { tensor } from '../tensor/tensor.js';
import { openFileSource } from './byteSource.js';
import { openCheckpoint } from './openCheckpoint.js';

const fixtures = 'test/fixtures/checkpoints';
const fileError = (message: RegExp) => ({ name: 'CheckpointFileError', message });
const open = (bytes: Uint8Array) => openCheckpoint(memorySource(bytes));
const refuses = (bytes: Uint8Array, message: RegExp) => assert.rejects(open(bytes), fileError(message));

const expected = JSON.parse(await readFile(`${fixtures}/expected.json`, 'utf8')) as Record<
  string,
  { shape: number[]; values: number[] }
>;

describe('files of PyTorch', () => {
  for (const [file, format] of [
    ['zip.pth', 'pytorch'],
    ['zip_protocol4.pth', 'pytorch'],
    ['bare.pth', 'pytorch'],
    ['legacy.pth', 'pytorch-legacy'],
  ] as const) {
    it(`${file}: every float type, view and shared storage is read bit for bit`, async () => {
      const source = await openFileSource(`${fixtures}/${file}`);
      try {
        const checkpoint = await openCheckpoint(source);
        assert.equal(checkpoint.format, format);
        assert.deepEqual({ ...checkpoint.facts }, file === 'bare.pth' ? {} : { epoch: 3 });
        assert.deepEqual([...checkpoint.tensors.keys()].sort(), [...Object.keys(expected), 'counter', 'flags'].sort());
        assert.deepEqual(checkpoint.tensors.get('bfloat16'), { type: 'bfloat16', shape: [2, 4] });
        for (const [name, { shape, values }] of Object.entries(expected)) {
          const { shape: found, data } = await checkpoint.read(name);
          assert.deepEqual(found, shape, name);
          assert.deepEqual(data, Float32Array.from(values), name);
        }
        await assert.rejects(
          checkpoint.read('counter'),
          fileError(/"counter" has the type int64; read are float64, float32/),
        );
        await assert.rejects(checkpoint.read('absent'), fileError(/contains no tensor "absent"/));
      } finally {
        await source.close();
      }
    });
  }

  it('of PyTorch 2 (untyped storages, byte order, zip64) are read', async () => {
    const untyped = storage('torch.storage UntypedStorage', '0', 8);
    const typed = call(
      global('torch._utils', '_rebuild_tensor_v3'),
      untyped,
      int(0),
      tuple(int(2), int(2)),
      tuple(int(2), int(1)),
      none,
      none,
      global('torch', 'bfloat16'),
    );
    const little = [{ name: 'archive/byteorder', data: Buffer.from('little') }];
    const bytes = new Uint8Array(Uint16Array.of(0x3f80, 0xc000, 0x3f00, 0).buffer);
    const checkpoint = await open(torchFile(stateDict({ w: typed }), { 0: bytes }, { others: little, zip64: true }));
    assert.deepEqual(await checkpoint.read('w'), tensor('float32', [2, 2], Float32Array.of(1, -2, 0.5, 0)));
  });

  it('before PyTorch 0.4 may have views of storages: tensors begin where theirs does', async () => {
    const view = { offset: 3, elements: 4 };
    const saved = stateDict({
      whole: rebuilt(storage('FloatStorage', '0', 8), { shape: [8] }),
      part: rebuilt(storage('FloatStorage', '0', 8, view), { shape: [4] }),
      column: rebuilt(storage('FloatStorage', '0', 8, view), { shape: [2], strides: [2], offset: 1 }),
      other: rebuilt(storage('FloatStorage', '1', 2), { shape: [2] }),
    });
    const { format, read } = await open(legacyTorchFile(saved, { 0: [0, 1, 2, 3, 4, 5, 6, 7], 1: [8, 9] }));
    assert.equal(format, 'pytorch-legacy');
    const values = async (name: string) => [...(await read(name)).data];
    assert.deepEqual(await values('whole'), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert.deepEqual(await values('part'), [3, 4, 5, 6]);
    assert.deepEqual(await values('column'), [4, 6]);
    assert.deepEqual(await values('other'), [8, 9]);
    const past = (claim: { offset: number; elements: number }, shape: readonly number[]) =>
      legacyTorchFile(stateDict({ w: rebuilt(storage('FloatStorage', '0', 8, claim), { shape }) }), {
        0: [0, 1, 2, 3, 4, 5, 6, 7],
      });
    await refuses(past(view, [5]), /more than the 4 elements of its storage/);
    await refuses(past({ offset: 5, elements: 4 }, [1]), /a view of storage 0 ends past its 8 elements/);
  });

  it('saved on a big-endian machine are rejected', async () => {
    const big = [{ name: 'archive/byteorder', data: Buffer.from('big') }];
    const saved = stateDict({ w: rebuilt(storage('FloatStorage', '0', 1), { shape: [1] }) });
    await refuses(torchFile(saved, { 0: float32Bytes(1) }, { others: big }), /byte order is "big"; only "little"/);
  });

  it('whose tensors exceed their storages are rejected before memory is allocated', async () => {
    const one = (claim: Parameters<typeof rebuilt>[1], elements = 4) =>
      torchFile(stateDict({ w: rebuilt(storage('FloatStorage', '0', elements), claim) }), {
        0: float32Bytes(1, 2, 3, 4),
      });
    await refuses(one({ shape: [5] }), /\[5\] does not fit storage 0: its 5 elements are more than the 4 elements/);
    await refuses(one({ shape: [2 ** 40, 2 ** 12], strides: [0, 0] }), /more than the 4 elements of its storage/);
    await refuses(one({ shape: [2], strides: [4] }), /ends at element 5 of a storage of 4/);
    await refuses(one({ shape: [2], offset: 3 }), /ends at element 5 of a storage of 4/);
    await refuses(one({ shape: [2], offset: -1 }), /must be non-negative integers/);
    await refuses(one({ shape: [2], strides: [1, 1] }), /it has 2 strides for 1 dimensions/);
    await refuses(one({ shape: [-2] }), /must be non-negative integers/);
    await refuses(one({ shape: [4] }, 2 ** 50), /claims 4503599627370496 bytes, but has 16/);
  });

  it('without weights are rejected, with a description of their contents', async () => {
    await refuses(
      torchFile(stateDict({ epoch: int(1), lr: str('x') }), {}),
      /no weights: its keys are epoch, lr; weights are/,
    );
    await refuses(torchFile(int(1), {}), /contains number, not a dict of weights/);
    const alone = rebuilt(storage('FloatStorage', '0', 1), { shape: [1] });
    await refuses(torchFile(alone, { 0: float32Bytes(1) }), /a single tensor/);
  });

  it('are read or rejected at once, however large their contents are when each reference is followed', async () => {
    const one = rebuilt(storage('FloatStorage', '0', 1), { shape: [1] });
    const file = (saved: Pickled) => torchFile(saved, { 0: float32Bytes(1) });
    const keys = (count: number, value: Pickled) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, value]));
    // A dict of 2,000 names for one tensor, under 1,000 keys: two million names in 60 kB.
    const inner = Buffer.concat([dict({ first: remembered(one, 1), ...keys(2000, recall(1)) }), remember(2)]);
    await refuses(file(dict({ model: inner, ...keys(1000, recall(2)) })), /names more than 100000 tensors/);
    const few = await open(file(dict({ model: inner, ...keys(3, recall(2)) })));
    assert.equal(few.tensors.size, 4 * 2001);
    // Nested pairs: 2^200 leaves if written out.
    const pairs = Array.from({ length: 200 }, (_, depth) =>
      Buffer.concat([
        recall(depth),
        recall(depth),
        Buffer.from('\x86', 'latin1'),
        remember(depth + 1),
        Buffer.from('0'),
      ]),
    );
    const nested = Buffer.concat([remembered(str('x'), 0), Buffer.from('0'), ...pairs]);
    const nestedKey = Buffer.concat([nested, Buffer.from('}('), recall(200), none, Buffer.from('u')]);
    await refuses(file(nestedKey), /no weights: its keys are a tuple or list; weights/);
    const nestedId = Buffer.concat([nested, Buffer.from('('), recall(200), Buffer.from('tQ')]);
    await refuses(file(nestedId), /refers to a tuple or list, not to a storage/);
    // A million dimensions, which any number of tensors could share.
    const long = tuple(...Array.from({ length: 100_000 }, () => Buffer.from('K\x01', 'latin1')));
    await refuses(
      file(
        dict({
          w: call(global('torch._utils', '_rebuild_tensor_v2'), storage('FloatStorage', '0', 1), int(0), long, long),
        }),
      ),
      /has 100000 dimensions; the maximum is 64/,
    );
  });

  it('with a missing storage are rejected', () =>
    refuses(
      torchFile(stateDict({ w: rebuilt(storage('FloatStorage', '7', 1), { shape: [1] }) }), {}),
      /storage 7 of "w" is missing/,
    ));

  it('with several dicts of weights prefix the names with those of the dicts', async () => {
    const one = (key: string) => rebuilt(storage('FloatStorage', key, 1), { shape: [1] });
    const dicts = (main: string, other: string) =>
      torchFile(dict({ [main]: dict({ w: one('0') }), epoch: int(3), [other]: dict({ w: one('1') }) }), {
        0: float32Bytes(1),
        1: float32Bytes(2),
      });
    const averaged = await open(dicts('state_dict', 'state_dict_ema'));
    assert.deepEqual([...averaged.tensors.keys()], ['w', 'state_dict_ema/w']);
    assert.deepEqual([...(await averaged.read('state_dict_ema/w')).data], [2]);
    assert.deepEqual([...(await open(dicts('student', 'teacher'))).tensors.keys()], ['student/w', 'teacher/w']);
  });

  it('of whole modules are rejected, naming their class', () =>
    refuses(
      torchFile(call(global('torchvision.models.resnet', 'ResNet')), {}),
      /"torchvision\.models\.resnet\.ResNet", which is refused: .*save only its state_dict\(\)/,
    ));

  it('with a changed byte in a storage are rejected when the storage is read, completely or partly', async () => {
    const saved = stateDict({
      whole: rebuilt(storage('FloatStorage', '0', 4), { shape: [4] }),
      part: rebuilt(storage('FloatStorage', '0', 4), { shape: [2], offset: 2 }),
    });
    const file = torchFile(saved, { 0: float32Bytes(1, 2, 3, 4) });
    const at = Buffer.from(file).indexOf(Buffer.from(float32Bytes(1, 2, 3, 4)));
    file[at]! ^= 1; // outside the bytes that `part` reads
    const checkpoint = await open(file);
    await assert.rejects(checkpoint.read('whole'), fileError(/archive\/data\/0 is damaged: its checksum differs/));
    await assert.rejects(checkpoint.read('part'), fileError(/archive\/data\/0 is damaged: its checksum differs/));
  });
});

describe('safetensors files', () => {
  it('may have element types that our own files do not have', async () => {
    const values = { F8_E4M3: [0x38, 0xc0, 0x01, 0x7e], F8_E5M2: [0x3c, 0xc0, 0x01, 0x7b] };
    const header = Buffer.from(
      JSON.stringify({
        __metadata__: { step: '4' },
        a: { dtype: 'F8_E4M3', shape: [4], data_offsets: [0, 4] },
        b: { dtype: 'F8_E5M2', shape: [2, 2], data_offsets: [4, 8] },
        c: { dtype: 'BF16', shape: [1], data_offsets: [8, 10] },
      }),
    );
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const data = Buffer.from([...values.F8_E4M3, ...values.F8_E5M2, 0x80, 0xbf]);
    const checkpoint = await open(Buffer.concat([length, header, data]));
    assert.deepEqual([checkpoint.format, checkpoint.facts], ['safetensors', { step: '4' }]);
    assert.deepEqual([...(await checkpoint.read('a')).data], [1, -2, 2 ** -9, 448]);
    assert.deepEqual(await checkpoint.read('b'), tensor('float32', [2, 2], Float32Array.of(1, -2, 2 ** -16, 57344)));
    assert.deepEqual([...(await checkpoint.read('c')).data], [-1]);
  });

  it('may have tensors of types that are not floating-point numbers, or that we cannot convert, beside the weights', async () => {
    const sizes = { U16: 2, U32: 4, U64: 8, C64: 8, F8_E8M0: 1, F6_E2M3: 0.75, F4: 0.5 };
    let at = 0;
    const entries = Object.entries({ F32: 4, ...sizes }).map(([dtype, bytes]) => {
      const start = at;
      at += 4 * bytes;
      return [dtype, { dtype, shape: [4], data_offsets: [start, at] }] as const;
    });
    const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const data = Buffer.alloc(at);
    data.set(float32Bytes(1, 2, 3, 4));
    const checkpoint = await open(Buffer.concat([length, header, data]));
    assert.deepEqual([...(await checkpoint.read('F32')).data], [1, 2, 3, 4]);
    for (const dtype of Object.keys(sizes)) {
      await assert.rejects(checkpoint.read(dtype), fileError(/has the type \w+; read are float64, /), dtype);
    }
  });

  it('with a header of 2^60 bytes are rejected immediately', async () => {
    const file = encodeSafetensors(new Map([['a', tensor('float32', [1], Float32Array.of(1))]]));
    new DataView(file.buffer).setBigUint64(0, 2n ** 60n, true);
    await refuses(file, /header claims 1152921504606846976 bytes, but the file has/);
  });
});

describe('files that are not checkpoints', () => {
  it('are described by the names of their entries if they are zip archives, compressed or not', async () => {
    const compressed = { method: 8, size: 1000 };
    const zips: readonly (readonly [readonly string[], RegExp])[] = [
      [['s/data.pkl', 's/code/__torch__/m.py', 's/constants.pkl'], /is a TorchScript archive; .* save its state_dict/],
      [['s/data.pkl', 's/bytecode.pkl'], /is a TorchScript archive/],
      [['s/model.json', 's/tensors/0'], /is a TorchScript archive/],
      [['p/models/model.json', 'p/data/weights/0'], /is a program of torch\.export/],
      [['p/.data/extern_modules', 'p/m.pkl'], /is a package of torch\.package/],
      [['config.json', 'model.weights.h5'], /is a Keras model/],
      [['a.npy', 'b.npy'], /is a NumPy archive/],
      [['run/last.ckpt', 'run/log.txt'], /is an archive that contains "run\/last\.ckpt"; unpack it first/],
      [['a/data.pkl', 'a/data/0'], /compressed \(deflate\), which torch\.save never does/],
    ];
    for (const [names, message] of zips) {
      const data = Buffer.from('x');
      await refuses(storedZip(names.map((name) => ({ name, data, claims: compressed }))), message);
      if (!names.includes('a/data.pkl')) await refuses(storedZip(names.map((name) => ({ name, data }))), message);
    }
  });

  it('are described by their detected format', async () => {
    await refuses(new Uint8Array(0), /is empty/);
    await refuses(Buffer.from('<!DOCTYPE html><html>'), /is not a checkpoint but a web page: the download failed/);
    await refuses(gzipSync('weights'), /compressed with gzip: decompress it first/);
    await refuses(Buffer.from('{"metadata": {}, "weight_map": {"a": "b"}}'), /an index of several files/);
    await refuses(Buffer.from('GGUF\x03\0\0\0'), /a GGUF file/);
    await refuses(Buffer.from('not a checkpoint at all'), /neither a file of torch\.save .* nor safetensors/);
    await refuses(Buffer.from('version https://git-lfs.github.com/spec/v1\n'), /git lfs pull/);
  });

  it('are missing files and folders, too', async () => {
    await assert.rejects(openFileSource('absent.pth'), fileError(/absent\.pth cannot be read: there is no such file/));
    await assert.rejects(openFileSource('src'), fileError(/src is not a file/));
    const scratch = await mkdtemp(join(tmpdir(), 'vicregl-checkpoint-'));
    await writeFile(join(scratch, 'empty.pth'), '');
    const source = await openFileSource(join(scratch, 'empty.pth'));
    await assert.rejects(openCheckpoint(source), fileError(/empty\.pth is empty/));
    await source.close();
    await rm(scratch, { recursive: true });
  });
});
