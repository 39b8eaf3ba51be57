import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { connect } from '@lancedb/lancedb';
import { createClient } from '../../src/client/client.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { createSession, runSession } from '../../src/onnx/session.js';
import { searchGraph } from '../../src/probe/knn.js';
import { tensor } from '../../src/tensor/tensor.js';
import { folderTree } from '../support/folderTree.js';
import { long } from '../support/longTests.js';
import { PYTHON, skipWithoutPython } from '../support/python.js';
import { bin, type ServedProcess, startServedProcess } from '../support/servedProcess.js';
import { withTinyModel } from '../support/tinyModel.js';
import { writePhotographs } from '../support/tinyRun.js';
import { until } from '../support/until.js';
import { vicregl, vicreglInHost } from '../support/vicregl.js';

/** `vicregl extract` as a user runs it: in process and by a service, killed, on a full disk, and read by other programs. */

const IMAGES = 48;
const names = Array.from({ length: IMAGES }, (_, i) => `class-${i % 3}/${String(i).padStart(2, '0')}.jpg`).sort();

let scratch: string;
let source: string;
let model: string;
let removeModel: () => Promise<void>;
let photographs: ReadonlyMap<string, Buffer>;
/** Embeddings and maps as NumPy arrays, in one run; other tests compare with it. */
let whole: string;
const both = ['--what', 'embedding,features', '--format', 'npy'];
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-extract-'));
  source = join(scratch, 'source');
  photographs = await writePhotographs(source, names);
  const tiny = await withTinyModel();
  model = tiny.folder.dir;
  removeModel = tiny.remove;
  whole = fresh();
  const { code, stderr } = await vicreglInHost(...local(whole, ...both));
  assert.equal(code, 0, stderr);
});
after(async () => {
  await rm(scratch, { recursive: true });
  await removeModel();
});

let folders = 0;
const fresh = () => join(scratch, `out-${folders++}`);
const local = (out: string, ...flags: string[]) => {
  const fixed = [
    '--source',
    source,
    '--out',
    out,
    '--model',
    model,
    '--device',
    'cpu',
    '--threads',
    '1',
    '--shard-images',
    '8',
  ];
  return ['extract', ...fixed, ...flags];
};
const leftovers = async (out: string) =>
  (await readdir(out, { recursive: true })).filter((name) => /\.(tmp|lock)$/.test(name));

function python<T>(code: string, ...args: string[]): T {
  const { status, stdout, stderr } = spawnSync(PYTHON, ['-c', code, ...args], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as T;
}

describe('vicregl extract in process', () => {
  it('killed at any moment and resumed gives the bytes of an unbroken run, and says what it did', async () => {
    const out = fresh();
    /** Starts the command, and kills it as soon as the condition holds. */
    const kill = async (when: () => boolean): Promise<void> => {
      const child = spawn(process.execPath, [bin, ...local(out, ...both, '--resume')], { stdio: 'ignore' });
      const ended = once(child, 'exit');
      while (!when() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 1));
      child.kill('SIGKILL');
      await ended;
    };
    const exists = (...parts: string[]) => existsSync(join(out, ...parts));
    await kill(() => exists('features') && readdirSync(join(out, 'features')).some((name) => name.endsWith('.tmp')));
    await kill(() => exists('shards', 'shard_1.json'));
    await kill(() => exists('img_emb', 'img_emb_3.npy'));
    const last = await vicregl(...local(out, ...both, '--resume'));
    assert.equal(last.code, 0, last.stderr);
    assert.deepEqual(await folderTree(out), await folderTree(whole));
    const lines = last.stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string; done?: number });
    assert.ok(lines.some(({ event, done: count }) => event === 'progress' && count !== undefined));
  });

  it('killed and resumed gives the rows of an unbroken run as Lance data sets, and leaves nothing beside them', async () => {
    const out = fresh();
    const lance = local(out, '--format', 'lance', '--resume');
    const child = spawn(process.execPath, [bin, ...lance], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    while (!existsSync(join(out, 'lance', 'images_1.lance')) && child.exitCode === null) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    child.kill('SIGKILL');
    await ended;
    // As after a kill between the two steps: a data set in its place, without the record of its shard.
    await rm(join(out, 'shards', 'shard_0.json'), { force: true });
    // As after a kill while the record, or the list of failed images, was written.
    for (const name of ['shard_0.json', 'shard_0.failed.jsonl']) {
      await writeFile(join(out, 'shards', `.${name}.killed.tmp`), '{"shard":');
    }
    const resumed = await vicreglInHost(...lance);
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.deepEqual(
      (await readdir(join(out, 'lance'))).sort(),
      [0, 1, 2, 3, 4, 5].map((shard) => `images_${shard}.lance`),
    );
    assert.deepEqual(await leftovers(out), []);
    assert.deepEqual(await lanceRows(out), await parquetRows('float32'));
  });

  it('divided into parts gives the same folder', async () => {
    const out = fresh();
    for (const part of ['2/3', '0/3', '1/3']) {
      const { code, stderr } = await vicreglInHost(...local(out, ...both, '--shard', part));
      assert.equal(code, 0, stderr);
      assert.ok(stderr.includes(`part ${part.replace('/', ' of ')} (--shard ${part})`), stderr);
    }
    assert.deepEqual(await folderTree(out), await folderTree(whole));
  });

  it('writes nothing outside its folder for hostile tars, and lists what it cannot read', async () => {
    const parent = join(scratch, 'hostile');
    await mkdir(join(parent, 'files', 'inner'), { recursive: true });
    await writeFile(join(parent, 'files', 'good.jpg'), photographs.get(names[0]!)!);
    await writeFile(join(parent, 'files', 'inner', 'broken.jpg'), 'no image');
    await symlink('/etc/hostname', join(parent, 'files', 'link.jpg'));
    const tar = join(parent, 'hostile.tar');
    execFileSync('tar', [
      '-P',
      '-cf',
      tar,
      '-C',
      join(parent, 'files', 'inner'),
      '../good.jpg',
      'broken.jpg',
      '../link.jpg',
    ]);
    const out = join(parent, 'a', 'out');
    const { code, stderr, stdout } = await vicreglInHost(
      'extract',
      '--source',
      tar,
      '--out',
      out,
      '--model',
      model,
      '--format',
      'npy',
    );
    assert.equal(code, 3, stderr);
    assert.equal((JSON.parse(stdout) as { failed: number }).failed, 2);
    assert.deepEqual((await readdir(parent)).sort(), ['a', 'files', 'hostile.tar']);
    assert.deepEqual(await readdir(join(parent, 'a')), ['out']);
    const failed = (await readFile(join(out, 'failed.jsonl'), 'utf8')).trim().split('\n');
    assert.deepEqual(
      failed.map((line) => (JSON.parse(line) as { path: string }).path),
      ['broken.jpg', 'link.jpg'],
    );
    const limited = ['extract', '--source', tar, '--out', fresh(), '--model', model, '--max-failures', '1'];
    const stopped = await vicreglInHost(...limited);
    assert.equal(stopped.code, 1);
    assert.match(stopped.stderr, /2 images failed, more than --max-failures 1/);
  });

  // HDF5 allocates whole chunks.
  for (const [format, size] of [
    ['npy', '200k'],
    ['hdf5', '1m'],
    ['lance', '64k'],
  ] as const) {
    it(
      `on a disk that becomes full says so, leaves no part of a shard, and goes on when there is room (${format})`,
      long,
      async (t) => {
        const disk = join(scratch, `disk-${format}`);
        await mkdir(disk);
        try {
          execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', disk], { stdio: 'ignore' });
        } catch {
          return t.skip('this user cannot mount a disk');
        }
        try {
          const out = join(disk, 'out');
          const what = format === 'lance' ? 'embedding' : 'embedding,features';
          const flags = ['--what', what, '--format', format];
          // In its own process: h5wasm keeps a file open that it could not close.
          const full = await vicregl(...local(out, ...flags));
          assert.equal(full.code, 1, full.stdout);
          assert.match(full.stderr, /--out: .* cannot be written: no space left on (the )?device/i);
          assert.deepEqual(await leftovers(out), []);
          const records = (await readdir(join(out, 'shards'))).length;
          assert.ok(records >= 1 && records < 6, String(records));
          execFileSync('mount', ['-o', 'remount,size=64m', disk]);
          const { code, stderr, stdout } = await vicregl(...local(out, ...flags, '--resume'));
          assert.equal(code, 0, stderr);
          assert.deepEqual((JSON.parse(stdout) as { shards: object }).shards, { done: 6 - records, before: records });
          if (format === 'npy') assert.deepEqual(await folderTree(out), await folderTree(whole));
        } finally {
          execFileSync('umount', [disk]);
        }
      },
    );
  }

  it('rejects flags that contradict each other, with the flag', async () => {
    for (const [flags, message] of [
      [['--space', 'expander', '--what', 'features'], /--space expander: applies to the embedding/],
      [['--stages', '1'], /--stages: applies to features/],
      [['--space', 'backbone,expander'], /--space backbone,expander: every output has one space, .* of backbone;/],
      [
        ['--space', 'localProjector,backbone', '--what', 'features'],
        /--space localProjector,backbone: .* would be of backbone;/,
      ],
      [
        ['--space', 'localProjector', '--what', 'features', '--stages', '1,2'],
        /--stages 1,2: the local projector is of the last map; add 0/,
      ],
      [['--what', 'features', '--stages', '7'], /--stages: the model tiny has no map of stage 7/],
      [['--what', 'features', '--format', 'parquet'], /--format parquet: holds vectors/],
      [['--what', 'features', '--format', 'lance'], /--format lance: holds vectors/],
      [['--shard', '4/4'], /--shard 4\/4: part 4 of 4 does not exist/],
      [['--what', 'everything'], /one or several of embedding, features/],
    ] as const) {
      const { code, stderr } = await vicreglInHost(...local(fresh(), ...flags));
      assert.equal(code, 1);
      assert.match(stderr, message);
    }
  });
});

describe('vicregl extract by a service', () => {
  const remote = (out: string, address: string, ...flags: string[]) => {
    const fixed = ['--source', source, '--out', out, '--address', address, '--shard-images', '16'];
    return ['extract', ...fixed, ...flags];
  };
  const stop = async ({ child }: { readonly child: ChildProcess }, signal: NodeJS.Signals) => {
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  };

  it('gives what the service answers, goes on when the service comes back, and pools over boxes', long, async () => {
    let service: ServedProcess | undefined = await startServedProcess('--model', model);
    try {
      const { address } = service;
      const client = createClient({ address });
      const expected = await Promise.all(
        names.map((name) => client.embed(photographs.get(name)!, { l2Normalize: true })),
      );
      const boxes = join(scratch, 'boxes.jsonl');
      const box = { left: 10, top: 5, right: 60, bottom: 50 };
      await writeFile(boxes, `${JSON.stringify({ path: names[7], boxes: [Object.values(box)] })}\n`);
      const dense = { tiles: { width: 32, overlap: 16 }, upsample: 2 } as const;
      const resize = { kind: 'fit', width: 64, height: 48 } as const;
      const pooled = await client.features(
        { pixels: photographs.get(names[7]!)!, resize },
        { ...dense, pooling: [{ box }] },
      );
      const tiled = await client.features({ pixels: photographs.get(names[0]!)!, resize }, dense);
      await client.close();

      const merged = fresh();
      const tiles = ['--tiles', '32,16', '--upsample', '2', '--resize', 'fit:64x48'];
      const flags = ['--what', 'features', '--format', 'npy', ...tiles, '--model', model];
      const ran = await vicreglInHost('extract', '--source', source, '--out', merged, ...flags);
      assert.equal(ran.code, 0, ran.stderr);
      const bytes = await readFile(join(merged, 'features', 'features_0.npy'));
      assert.match(bytes.subarray(10, 128).toString(), /'shape': \(48, 12, 16, 16\)/);
      const first = new Float32Array(Uint8Array.from(bytes.subarray(128, 128 + 4 * tiled.data.length)).buffer);
      for (const [i, value] of first.entries()) assert.ok(Math.abs(value - tiled.data[i]!) < 1e-4);
      const [metadata] = await query(
        `SELECT map_left, map_width FROM '${merged}/metadata/*.parquet' ORDER BY image_path`,
      );
      const { cellToPixel, columns } = tiled.grid;
      assert.equal(metadata!['map_left'], cellToPixel.offsetX);
      assert.ok(Math.abs((metadata!['map_width'] as number) - cellToPixel.scaleX * columns) < 1e-6);

      const pool = ['--what', 'features', '--pool', boxes, '--format', 'parquet', ...tiles];
      for (const place of [
        ['--address', address],
        ['--model', model],
      ]) {
        const out = fresh();
        const { code, stderr } = await vicreglInHost('extract', '--source', source, '--out', out, ...place, ...pool);
        assert.equal(code, 0, stderr);
        const rows = await query(`SELECT features, coverage, "left", bottom FROM '${out}/regions/*.parquet'`);
        assert.equal(rows.length, 1);
        const row = rows[0] as { features: number[]; coverage: number; left: number; bottom: number };
        assert.deepEqual([row.left, row.bottom, row.coverage], [10, 50, pooled.coverage![0]]);
        for (const [i, value] of row.features.entries()) assert.ok(Math.abs(value - pooled.data[i]!) < 1e-4);
      }

      const out = fresh();
      const child = spawn(process.execPath, [bin, ...remote(out, address, '--format', 'parquet', '--l2')], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      const ended = once(child, 'exit');
      let log = '';
      child.stderr.on('data', (text: Buffer) => {
        log += text.toString();
      });
      // It has found the service, and has sent nothing or some images when the service dies.
      await until(() => existsSync(join(out, 'manifest.json')), 1);
      await stop(service, 'SIGKILL');
      service = undefined;
      await until(() => /the stream broke \(UNAVAILABLE/.test(log), 5);
      service = await startServedProcess('--model', model, '--address', address);
      assert.deepEqual(await ended, [0, null], log);
      const rows = await query(`SELECT * FROM '${out}/images/*.parquet' ORDER BY image_path`);
      assert.deepEqual(
        rows.map(({ image_path }) => image_path),
        names,
      );
      for (const [i, { embedding }] of rows.entries()) {
        for (const [c, value] of (embedding as number[]).entries()) {
          assert.ok(Math.abs(value - expected[i]!.vector[c]!) < 1e-5);
        }
      }
    } finally {
      if (service !== undefined) await stop(service, 'SIGTERM');
    }
  });

  it('that is not there ends at once, without an output folder', async () => {
    const out = fresh();
    const { code, stderr } = await vicreglInHost(...remote(out, '127.0.0.1:1'));
    assert.equal(code, 1);
    assert.match(stderr, /UNAVAILABLE: no answer from 127.0.0.1:1 .*--model/);
    assert.ok(!existsSync(out));
  });
});

async function query(sql: string): Promise<Record<string, unknown>[]> {
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  try {
    const reader = await connection.runAndReadAll(sql);
    return reader.getRowObjectsJson();
  } finally {
    connection.closeSync();
  }
}

const runs = new Map<string, Promise<Record<string, unknown>[]>>();

/** The rows of Parquet files, in the order of the source; each dtype is extracted once. */
function parquetRows(dtype: string): Promise<Record<string, unknown>[]> {
  const run = async () => {
    const out = fresh();
    const { code, stderr } = await vicreglInHost(...local(out, '--format', 'parquet', '--dtype', dtype));
    assert.equal(code, 0, stderr);
    return query(`SELECT * FROM '${out}/images/*.parquet' ORDER BY image_path`);
  };
  if (!runs.has(dtype)) runs.set(dtype, run());
  return runs.get(dtype)!;
}

/** The rows of all tables, in the order of the shards, with lists of numbers as arrays. */
async function lanceRows(out: string): Promise<Record<string, unknown>[]> {
  const database = await connect(join(out, 'lance'));
  const rows: Record<string, unknown>[] = [];
  for (const name of (await database.tableNames()).sort()) {
    const table = await database.openTable(name);
    for (const row of await table.query().toArray()) {
      rows.push(
        Object.fromEntries(
          Object.entries(row as Record<string, unknown>).map(([column, value]) => [
            column,
            typeof value === 'object' ? [...(value as Iterable<number>)] : value,
          ]),
        ),
      );
    }
    table.close();
  }
  database.close();
  return rows;
}

describe('other programs read what vicregl extract writes', () => {
  it('LanceDB: every dtype, equal to Parquet, and a search that finds each image itself', async () => {
    for (const dtype of ['float32', 'float16', 'int8']) {
      const lance = fresh();
      const { code, stderr } = await vicreglInHost(...local(lance, '--format', 'lance', '--dtype', dtype));
      assert.equal(code, 0, stderr);
      const expected = await parquetRows(dtype);
      assert.equal(expected.length, IMAGES);
      assert.deepEqual(await lanceRows(lance), expected);
      if (dtype !== 'float32') continue;
      const database = await connect(join(lance, 'lance'));
      const table = await database.openTable('images_0');
      const query = expected[3]!['embedding'] as number[];
      const [nearest] = await table.query().nearestTo(query).limit(1).toArray();
      assert.equal(nearest.image_path, names[3]);
      table.close();
      database.close();
    }
  });

  it('DuckDB: Parquet of every dtype, and the metadata of NumPy arrays', async () => {
    const expected = await parquetRows('float32');
    assert.deepEqual(
      expected.map(({ image_path, model: by }) => [image_path, by]),
      names.map((name) => [name, 'tiny@1']),
    );
    for (const dtype of ['float16', 'int8']) {
      for (const [i, row] of (await parquetRows(dtype)).entries()) {
        const scale = dtype === 'int8' ? (row['embedding_scale'] as number) : 1;
        for (const [c, element] of (row['embedding'] as number[]).entries()) {
          const value = (expected[i]!['embedding'] as number[])[c]!;
          const tolerance = dtype === 'int8' ? scale / 2 + 1e-6 : Math.abs(value) / 1024 + 1e-6;
          assert.ok(Math.abs(element * scale - value) <= tolerance, `${element} * ${scale}, ${value}`);
        }
      }
    }
    const metadata = await query(`SELECT image_path FROM '${whole}/metadata/*.parquet' ORDER BY image_path`);
    assert.deepEqual(
      metadata.map(({ image_path }) => image_path),
      names,
    );
  });

  it('h5py: vectors, maps and their place in the original', { skip: skipWithoutPython('h5py', 'numpy') }, async () => {
    const out = fresh();
    assert.equal((await vicreglInHost(...local(out, '--format', 'hdf5', '--what', 'embedding,features'))).code, 0);
    const code = `
import sys, json, glob, h5py, numpy
path, other = sys.argv[1:]
files = [h5py.File(name, 'r') for name in sorted(glob.glob(path + '/features/*.h5'))]
maps = numpy.concatenate([f['features'][:] for f in files])
npy = numpy.concatenate([numpy.load(name) for name in sorted(glob.glob(other + '/features/*.npy'))])
print(json.dumps({'paths': [p.decode() for f in files for p in f['image_path'][:]], 'maps': maps.shape,
  'equal': bool((maps == npy).all()), 'stride': int(files[0]['features'].attrs['stride']), 'model': files[0].attrs['model'],
  'embedding': [f['embedding'].shape for f in files], 'covers': files[0]['map_width'][0]}))`;
    const found = python<Record<string, unknown>>(code, out, whole);
    assert.deepEqual(found['paths'], names);
    assert.deepEqual(found['maps'], [IMAGES, 7, 7, 16]);
    assert.deepEqual([found['equal'], found['stride'], found['model']], [true, 8, 'tiny@1']);
    assert.deepEqual(
      found['embedding'],
      Array.from({ length: 6 }, () => [8, 16]),
    );
    assert.ok((found['covers'] as number) > 0);
  });

  it('faiss: the same nearest neighbours as our k-NN', { skip: skipWithoutPython('faiss', 'numpy') }, async () => {
    const code = `
import sys, glob, json, numpy, faiss
x = numpy.concatenate([numpy.load(path) for path in sorted(glob.glob(sys.argv[1] + '/img_emb/*.npy'))])
faiss.normalize_L2(x); index = faiss.IndexFlatIP(x.shape[1]); index.add(x)
print(json.dumps({'x': x.tolist(), 'nearest': index.search(x, 5)[1].tolist()}))`;
    const { x, nearest } = python<{ x: number[][]; nearest: number[][] }>(code, whole);
    const vectors = tensor('float32', [IMAGES, 16], Float32Array.from(x.flat()));
    // The search of `evaluate knn` and of the training's probe.
    const session = await createSession(encodeModel(searchGraph(IMAGES, IMAGES, 16, 5)));
    const ours = (await runSession(session, { queries: vectors, bank: vectors })).get('neighbours')!
      .data as BigInt64Array;
    await session.release();
    for (const [i, found] of nearest.entries()) {
      assert.deepEqual(new Set(found), new Set([...ours.subarray(i * 5, i * 5 + 5)].map(Number)));
    }
  });
});
