import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parquetReadObjects } from 'hyparquet';
import { folderTree } from '../../test/support/folderTree.js';
import { packNames } from '../data/nameTable.js';
import type { ImageSource } from '../data/sources.js';
import { silentProgress } from '../progress/work.js';
import { tensor } from '../tensor/tensor.js';
import { type Boxes, readBoxes } from './boxes.js';
import { encodeVectors } from './encode.js';
import { type ExtractOptions, extractFeatures } from './extract.js';
import { ExtractError } from './extractError.js';
import type { Extractor, ImageFeatures, OutputSpec, Wanted, WantedImage } from './features.js';
import { type FormatName, formatNames, openFormat } from './formats/formats.js';
import type { MachineShare } from './machineShare.js';

/** Images of a source by their names; their bytes are their names, and those named `broken` have none. */
function sourceOf(names: readonly string[]): ImageSource {
  return {
    count: names.length,
    nameOf: (item) => names[item]!,
    index: { count: names.length, names: packNames([...names]), storage: { kind: 'files', root: '/' } },
    read: async (item) => {
      if (names[item]!.includes('broken')) throw new Error('damaged');
      return Buffer.from(names[item]!);
    },
    close: async () => {},
  };
}

const vector: OutputSpec = { name: 'embedding', kind: 'vector', channels: 4 };
const map: OutputSpec = { name: 'features', kind: 'map', channels: 3, stride: 8 };
const regions: OutputSpec = { name: 'features', kind: 'regions', channels: 3, stride: 8 };

const numbersOf = (name: string, length: number) =>
  Float32Array.from({ length }, (_, i) => name.charCodeAt(i % name.length) / 64 + i);

/** Its features follow from the names. @param failAt the batch at which it throws, as a process that ends */
function fakeExtractor(outputs: readonly OutputSpec[], dtype: Wanted['dtype'], failAt = Number.POSITIVE_INFINITY) {
  let batch = 0;
  const seen: string[] = [];
  const featuresOf = ({ name, boxes }: WantedImage): ImageFeatures => ({
    width: 40,
    height: 30,
    covered: { left: 1, top: 0, width: 38, height: 30 },
    values: new Map(
      outputs.map(({ name: output, kind, channels }) => {
        const shape = kind === 'vector' ? [channels] : kind === 'map' ? [2, 3, channels] : [boxes!.length, channels];
        const value = tensor(
          'float32',
          shape,
          numbersOf(
            name,
            shape.reduce((a, b) => a * b, 1),
          ),
        );
        return [output, encodeVectors(value, { dtype, l2: false })] as const;
      }),
    ),
    ...(boxes && { coverage: boxes.map(() => 1) }),
  });
  const extractor: Extractor = {
    model: { name: 'fake', version: '1', sha256: '00' },
    runsOn: 'test',
    outputs,
    runs: 2,
    batch: 8,
    async prepare(images) {
      const at = batch++;
      const read = await Promise.allSettled(images.map((image) => image.read()));
      return async () => {
        if (at === failAt) throw new Error('ended');
        seen.push(...images.map(({ name }) => name));
        return read.map((result, i) =>
          result.status === 'fulfilled'
            ? { features: featuresOf(images[i]!) }
            : { failed: (result.reason as Error).message },
        );
      };
    },
    close: async () => {},
  };
  return { extractor, seen };
}

interface Run {
  readonly names: readonly string[];
  readonly out: string;
  readonly formatName?: FormatName;
  readonly outputs?: readonly OutputSpec[];
  readonly dtype?: Wanted['dtype'];
  readonly failAt?: number;
  readonly oneSize?: boolean;
  readonly boxes?: Boxes;
}

async function run({ names, out, ...more }: Run, options: Partial<ExtractOptions> = {}) {
  const { formatName = 'npy', outputs = [vector], dtype = 'float32', failAt, oneSize = true, boxes } = more;
  const { extractor, seen } = fakeExtractor(outputs, dtype, failAt);
  const format = await openFormat(formatName, { outputs, oneSize, dtype });
  const extracted = await extractFeatures({
    source: sourceOf(names),
    extractor,
    wanted: {
      dtype,
      l2: false,
      embedding: { space: 'backbone' },
      features: { space: 'backbone', stages: [0] },
    },
    out,
    formatName,
    format,
    oneSize,
    resize: 'fit:24x16',
    inputPixels: 24 * 16,
    ...(boxes && { boxes }),
    share: { index: 0, count: 1, origin: '' },
    shardImages: 16,
    batch: 8,
    resume: false,
    maxFailures: Number.POSITIVE_INFINITY,
    signal: new AbortController().signal,
    progress: silentProgress,
    note: () => {},
    ...options,
  });
  return { ...extracted, seen };
}

const part = (index: number, count: number): MachineShare => ({ index, count, origin: '' });
const refusedWith = (code: ExtractError['code'], message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ExtractError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};
const lines = async (path: string) => (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');

async function parquetRows(path: string) {
  const bytes = await readFile(path);
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  return parquetReadObjects({ file });
}

/** Names of 60 images, two of which are broken. */
const names = Array.from({ length: 60 }, (_, i) => (i === 5 || i === 41 ? `broken/${i}.jpg` : `class/${i}.jpg`));

describe('the features of a data set', () => {
  let scratch: string;
  let folders = 0;
  const fresh = () => join(scratch, String(folders++));
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-extract-'));
  });
  after(() => rm(scratch, { recursive: true }));

  it('are rows in the order of the source, without the failed images, which are listed with the reason', async () => {
    const out = fresh();
    const { images, failed, manifest, shards } = await run({ names, out, formatName: 'parquet' });
    assert.deepEqual({ images, failed, shards }, { images: 60, failed: 2, shards: { done: 4, before: 0 } });
    assert.deepEqual(manifest.finished, { shards: 4, images: 60, failed: 2, rows: { images: 58 } });
    const rows = (
      await Promise.all([0, 1, 2, 3].map((shard) => parquetRows(join(out, 'images', `images_${shard}.parquet`))))
    ).flat();
    const whole = names.filter((name) => !name.includes('broken'));
    assert.deepEqual(
      rows.map(({ image_path }) => image_path as string),
      whole,
    );
    for (const row of rows) {
      assert.deepEqual([row['width'], row['height'], row['model']], [40, 30, 'fake@1']);
      assert.deepEqual(row['embedding'], [...numbersOf(row['image_path'] as string, 4)]);
    }
    assert.deepEqual(
      (await lines(join(out, 'failed.jsonl'))).map((line) => JSON.parse(line) as unknown),
      [5, 41].map((index) => ({ path: `broken/${index}.jpg`, index, reason: 'damaged' })),
    );
  });

  // Lance names its files at random; test/e2e/extract.test.ts compares its rows.
  for (const formatName of formatNames.filter((name) => name !== 'lance')) {
    it(`as ${formatName}, interrupted at any batch and resumed, are the bytes of an uninterrupted run`, async () => {
      const outputs = formatName === 'parquet' ? [vector] : [vector, map];
      const whole = fresh();
      await run({ names, out: whole, formatName, outputs });
      const expected = await folderTree(whole);
      for (let failAt = 0; failAt < 8; failAt += 3) {
        const out = fresh();
        await assert.rejects(run({ names, out, formatName, outputs, failAt }), /ended/);
        const between = await readdir(out, { recursive: true });
        assert.deepEqual(
          between.filter((name) => /\.(tmp|lock)$/.test(name)),
          [],
        );
        const { seen } = await run({ names, out, formatName, outputs }, { resume: true });
        assert.deepEqual(await folderTree(out), expected);
        // Finished shards of two batches are not computed again.
        assert.equal(seen.length, 60 - Math.floor(failAt / 2) * 16);
      }
    });
  }

  it('are completed after a kill that left partial files, a lock, files without a record, and a shortened file', async () => {
    const whole = fresh();
    await run({ names, out: whole });
    const out = fresh();
    await run({ names, out });
    await rm(join(out, 'shards', 'shard_1.json'));
    await writeFile(join(out, 'img_emb', '.img_emb_1.npy.1234.tmp'), 'partial');
    await writeFile(join(out, 'shards', 'shard_1.lock'), JSON.stringify({ pid: 2 ** 22 + 1, host: hostname() }));
    await writeFile(join(out, 'metadata', 'metadata_3.parquet'), 'PAR1');
    const { shards } = await run({ names, out }, { resume: true });
    assert.deepEqual(shards, { done: 2, before: 2 });
    assert.deepEqual(await folderTree(out), await folderTree(whole));
  });

  it('of several processes in one folder are those of one process, whatever their order', async () => {
    const one = fresh();
    await run({ names, out: one });
    const out = fresh();
    await Promise.all([3, 0, 2, 1].map((index) => run({ names, out }, { share: part(index, 4), shardImages: 1000 })));
    assert.deepEqual(await folderTree(out), await folderTree(one));
    // Other numbers of processes go on with the same shards.
    await rm(join(out, 'shards', 'shard_0.json'));
    await rm(join(out, 'shards', 'shard_3.json'));
    for (const index of [0, 1]) await run({ names, out }, { share: part(index, 2), resume: true });
    assert.deepEqual(await folderTree(out), await folderTree(one));
  });

  it('of fewer images than processes leave some processes without work', async () => {
    const out = fresh();
    const few = names.slice(0, 3);
    const counts = await Promise.all(
      [0, 1, 2].map(async (index) => (await run({ names: few, out }, { share: part(index, 3) })).images),
    );
    assert.deepEqual(counts, [0, 0, 3]);
    const manifest = JSON.parse(await readFile(join(out, 'manifest.json'), 'utf8')) as { finished: object };
    assert.deepEqual(manifest.finished, { shards: 1, images: 3, failed: 0, rows: { images: 3 } });
  });

  it('are not mixed with those of other settings, and the error names what differs', async () => {
    const out = fresh();
    await run({ names, out });
    await assert.rejects(run({ names, out }), refusedWith('not_resumed', /holds 4 of 4 finished shards.*--resume/));
    await assert.rejects(
      run({ names, out, dtype: 'int8' }, { resume: true, resize: 'native' }),
      refusedWith('differs', /dtype was float32 and is int8; resize was fit:24x16 and is native/),
    );
    await assert.rejects(
      run({ names: names.slice(1), out }, { resume: true }),
      refusedWith('differs', /source was 60 images.* images was 60 and is 59/),
    );
    const other = fresh();
    await mkdir(other);
    await writeFile(join(other, 'thesis.tex'), '');
    await assert.rejects(run({ names, out: other }), refusedWith('bad_option', /holds other files \(thesis.tex\)/));
    await writeFile(join(other, 'manifest.json'), '{}');
    await assert.rejects(run({ names, out: other }), refusedWith('bad_option', /is not a manifest of vicregl extract/));
  });

  it('are written by one process at a time', async () => {
    const out = fresh();
    await run({ names, out });
    await rm(join(out, 'shards', 'shard_2.json'));
    await writeFile(join(out, 'shards', 'shard_2.lock'), JSON.stringify({ pid: process.ppid, host: hostname() }));
    await assert.rejects(
      run({ names, out }, { resume: true }),
      refusedWith('in_use', new RegExp(`process ${process.ppid} on .* writes the same shard`)),
    );
  });

  it('stop when too many images fail, and when a signal arrives', async () => {
    const out = fresh();
    await assert.rejects(
      run({ names, out }, { maxFailures: 1 }),
      refusedWith('too_many_failures', /2 images failed.*broken\/41/),
    );
    await assert.rejects(
      run({ names, out }, { resume: true, maxFailures: 0 }),
      refusedWith(
        'too_many_failures',
        /^--max-failures: 1 images failed in the \d finished shards of this part, more than 0/,
      ),
    );
    assert.equal((await run({ names, out }, { resume: true, maxFailures: 2 })).failed, 2);
    const stopped = new AbortController();
    stopped.abort();
    await assert.rejects(run({ names, out: fresh() }, { signal: stopped.signal }), refusedWith('stopped', /--resume/));
  });

  it('never take a path from the names of images', async () => {
    const parent = fresh();
    const out = join(parent, 'out');
    const hostile = [
      '../../evil.jpg',
      '/etc/evil.jpg',
      'a/../../../evil.jpg',
      'C:\\evil.jpg',
      '..',
      'new\nline.jpg',
      'nul\0.jpg',
    ];
    for (const formatName of formatNames) {
      await run({ names: hostile, out: join(out, formatName), formatName });
    }
    assert.deepEqual(await readdir(parent), ['out']);
    const rows = await parquetRows(join(out, 'parquet', 'images', 'images_0.parquet'));
    assert.deepEqual(
      rows.map(({ image_path }) => image_path as string),
      hostile,
    );
  });

  it('over regions are a row for each box, and images without boxes are not read', async () => {
    const path = join(scratch, 'boxes.jsonl');
    const entries = [
      {
        path: names[0],
        boxes: [
          [0, 0, 10, 10],
          [5.5, 0, 20, 30],
        ],
      },
      { path: names[20], boxes: [[1, 2, 3, 4]] },
      { path: names[30], boxes: [] },
    ];
    await writeFile(path, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
    const out = fresh();
    const boxes = await readBoxes(path);
    const { seen, manifest } = await run(
      { names, out, formatName: 'parquet', outputs: [regions], dtype: 'int8', boxes },
      { shardImages: 1000 },
    );
    assert.deepEqual(seen, [names[0], names[20]]);
    assert.deepEqual(manifest.finished.rows, { regions: 3 });
    const rows = await parquetRows(join(out, 'regions', 'regions_0.parquet'));
    assert.deepEqual(
      rows.map(({ image_path, region, left, top, right, bottom }) => [image_path, region, left, top, right, bottom]),
      [
        [names[0], 0, 0, 0, 10, 10],
        [names[0], 1, 5.5, 0, 20, 30],
        [names[20], 0, 1, 2, 3, 4],
      ],
    );
    const exact = numbersOf(names[0]!, 6);
    for (const [i, row] of rows.slice(0, 2).entries()) {
      const values = (row['features'] as number[]).map((element) => element * (row['features_scale'] as number));
      for (const [c, value] of values.entries()) assert.ok(Math.abs(value - exact[i * 3 + c]!) < 0.05);
    }
  });

  it('need boxes with area, one line per image, and name the line that is wrong', async () => {
    const path = join(scratch, 'wrong.jsonl');
    for (const [text, message] of [
      ['{"path": "a", "boxes": [[0, 0, 0, 5]]}', /line 1: boxes\[0\].*no area/],
      ['{"path": "a", "boxes": []}\n{"path": "a", "boxes": []}', /line 2: a has a line already/],
      ['{"path": "a"}', /line 1: boxes/],
      ['nonsense', /line 1: not JSON/],
      ['{"path": "a", "boxes": [[1, 2, 3]]}', /line 1: boxes\.0/],
    ] as const) {
      await writeFile(path, text);
      await assert.rejects(readBoxes(path), refusedWith('bad_option', message));
    }
  });

  it('of maps are refused by formats that cannot hold them', () => {
    const request = { outputs: [map], oneSize: false, dtype: 'float32' } as const;
    assert.throws(() => openFormat('parquet', request), refusedWith('bad_option', /holds vectors, not feature maps/));
    assert.throws(() => openFormat('npy', request), refusedWith('bad_option', /--resize native/));
    assert.throws(
      () => openFormat('hdf5', { ...request, dtype: 'float16' }),
      refusedWith('bad_option', /hdf5 has float32 and int8/),
    );
  });
});
