import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Dataset } from 'h5wasm/node';
import sqlite from 'node-sqlite3-wasm';
import sharp from 'sharp';
import { createLocalTransport } from '../../src/cli/localTransport.js';
import { type Client, createClientOver } from '../../src/client/client.js';
import type { Features } from '../../src/client/features.js';
import { openImageSource } from '../../src/data/sources.js';
import { createOnnxEngine } from '../../src/engine/onnxEngine.js';
import { openNearestSession, searchNearest } from '../../src/match/tiled/search.js';
import { openFeatureFile } from '../../src/matchSet/featureFile.js';
import { readHdf5 } from '../../src/matchSet/hdf5.js';
import { type MatchSetOptions, matchSet } from '../../src/matchSet/matchSet.js';
import type { InferenceSession } from '../../src/onnx/runtime.js';
import { silentProgress } from '../../src/progress/work.js';
import { createService } from '../../src/serve/api/service.js';
import { colmap, skipWithoutColmap } from '../support/colmap.js';
import { PYTHON, skipWithoutPython } from '../support/python.js';
import { bin } from '../support/servedProcess.js';
import { withTinyModel } from '../support/tinyModel.js';
import { until } from '../support/until.js';
import { vicreglInHost } from '../support/vicregl.js';

/** Sizes of the photographs; the tiny model has a cell for 8 x 8 pixels. */
const [WIDTH, HEIGHT] = [96, 64];
const native = { size: { kind: 'native' } } as const;

let root: string;
let photos: string;
let turned: string;
let model: { readonly folder: { readonly dir: string }; remove(): Promise<void> };
let client: Client;
let session: InferenceSession;

/** A photograph's pixels as they have to be stored so that this orientation makes it upright. */
function storedAs(upright: Buffer, orientation: number) {
  const image = () => sharp(upright, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } });
  switch (orientation) {
    case 2:
      return image().flop();
    case 3:
      return image().rotate(180);
    case 4:
      return image().flip();
    case 5: // Its own inverse: mirrored at the main diagonal.
      return sharp(transposed(upright), { raw: { width: HEIGHT, height: WIDTH, channels: 3 } });
    case 6:
      return image().rotate(270);
    case 7:
      return sharp(transposed(upright), { raw: { width: HEIGHT, height: WIDTH, channels: 3 } }).rotate(180);
    case 8:
      return image().rotate(90);
    default:
      return image();
  }
}

function transposed(upright: Buffer): Buffer {
  const result = Buffer.alloc(upright.length);
  for (let row = 0; row < HEIGHT; row++) {
    for (let column = 0; column < WIDTH; column++) {
      upright.copy(result, (column * HEIGHT + row) * 3, (row * WIDTH + column) * 3, (row * WIDTH + column + 1) * 3);
    }
  }
  return result;
}

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-match-set-'));
  photos = join(root, 'photos');
  turned = join(root, 'turned');
  await mkdir(join(photos, 'sub'), { recursive: true });
  await mkdir(turned);
  const coffee = await readFile('test/fixtures/photos/coffee.jpg');
  const chelsea = await readFile('test/fixtures/photos/chelsea.png');
  const small = (photo: Buffer) => sharp(photo).resize(WIDTH, HEIGHT, { fit: 'fill' }).removeAlpha();
  await small(coffee).png().toFile(join(photos, 'a.png'));
  await small(chelsea).png().toFile(join(photos, 'b.png'));
  await small(coffee)
    .modulate({ brightness: 1.05 })
    .png()
    .toFile(join(photos, 'sub', 'c.png'));
  const upright = await small(coffee).raw().toBuffer();
  for (let orientation = 1; orientation <= 8; orientation++) {
    await storedAs(upright, orientation)
      .tiff({ compression: 'none' })
      .withMetadata({ orientation })
      .toFile(join(turned, `${orientation}.tif`));
  }
  const tiny = await withTinyModel();
  model = tiny;
  const engine = await createOnnxEngine(tiny.folder, { device: 'cpu', threads: 1 });
  client = createClientOver(createLocalTransport(createService({ models: [{ engine }] })));
  session = await openNearestSession(1);
});
after(async () => {
  await client.close();
  await session.release();
  await model.remove();
  await rm(root, { recursive: true });
});

async function run(folder: string, out: string, options: Partial<MatchSetOptions> = {}) {
  const images = await openImageSource(folder);
  try {
    return await matchSet({
      images,
      choice: { kind: 'exhaustive' },
      out: join(root, out),
      format: 'hloc',
      features: native,
      matching: { mutual: true },
      client,
      search: (pair, signal) => searchNearest(session, pair, signal),
      progress: silentProgress,
      signal: new AbortController().signal,
      ...options,
    });
  } finally {
    await images.close();
  }
}

const centre = (
  { cellToPixel: { scaleX, scaleY, offsetX, offsetY } }: Features['grid'],
  row: number,
  column: number,
) => [offsetX + scaleX * (column + 0.5), offsetY + scaleY * (row + 0.5)];

describe("hloc's files", () => {
  test('have the features of ExtractFeatures and the matches of Match, with the first pixel at (0, 0)', async () => {
    const summary = await run(photos, 'hloc');
    assert.deepEqual([summary.images, summary.pairs, summary.failed, summary.skippedPairs], [3, 3, [], 0]);
    assert.deepEqual(summary.files, ['features.h5', 'matches.h5', 'pairs.txt']);
    assert.equal(
      await readFile(join(root, 'hloc', 'pairs.txt'), 'utf8'),
      'a.png b.png\na.png sub/c.png\nb.png sub/c.png\n',
    );
    const [a, c] = await Promise.all(['a.png', 'sub/c.png'].map((name) => readFile(join(photos, name))));
    const image = (pixels: Buffer | undefined) => ({ pixels: pixels!, resize: { kind: 'native' } as const });
    const features = await client.features(image(a), { space: 'localProjector' });
    const file = await openFeatureFile(join(root, 'hloc', 'features.h5'));
    const stored = file.read('a.png');
    file.close();
    assert.deepEqual([stored.rows, stored.columns, stored.channels], features.shape);
    for (const [i, value] of features.data.entries()) {
      const found = stored.descriptors[i]! * stored.norms[Math.floor(i / stored.channels)]!;
      assert.ok(Math.abs(found - value) <= 1e-6 * (1 + Math.abs(value)));
    }
    assert.deepEqual(stored.cellToPixel, features.grid.cellToPixel);
    assert.deepEqual(stored.global, (await client.embed(a!)).vector);
    const { pairs } = await client.match(image(a), image(c), { mutual: true, topGamma: 0 });
    assert.ok(pairs.length > 20);
    const lines = await run(photos, 'hloc', { format: 'json' });
    assert.deepEqual(lines.computed, { images: 0, pairs: 0 }, 'another format computes nothing again');
    const [, second] = (await readFile(join(root, 'hloc', 'matches.jsonl'), 'utf8')).split('\n');
    const line = JSON.parse(second!) as { a: string; b: string; pairs: typeof pairs };
    assert.deepEqual([line.a, line.b], ['a.png', 'sub/c.png']);
    assert.deepEqual(
      line.pairs.map((pair) => [pair.a, pair.b]),
      pairs.map((pair) => [pair.a, pair.b]),
    );
    for (const [i, { distance, similarity }] of pairs.entries()) {
      assert.ok(Math.abs(line.pairs[i]!.distance - distance) < 1e-4 * (1 + distance));
      assert.ok(Math.abs(line.pairs[i]!.similarity! - similarity!) < 1e-5);
    }
  });

  test('are read by h5py as hloc reads them', { skip: skipWithoutPython('h5py', 'numpy') }, async () => {
    await run(photos, 'h5py', { features: { size: { kind: 'fit', width: 64, height: 64 } } });
    const script = `
import json, sys, h5py, numpy as np
folder = sys.argv[1]
names = []
with h5py.File(folder + '/features.h5', 'r') as f:
    f.visititems(lambda _, item: names.append(item.parent.name.strip('/')) if isinstance(item, h5py.Dataset) else None)
    names = sorted(set(names))
    group = f['sub/c.png']
    keypoints, d = group['keypoints'], group['descriptors'][:]
    facts = {
        'keys': sorted(group.keys()),
        'keypoints': [list(keypoints.shape), str(keypoints.dtype), keypoints[0].tolist(), keypoints[-1].tolist()],
        'uncertainty': keypoints.attrs.get('uncertainty'),
        'descriptors': list(d.shape), 'lengths': [float(np.linalg.norm(d, axis=0).min()), float(np.linalg.norm(d, axis=0).max())],
        'scores': list(group['scores'].shape), 'image_size': group['image_size'][:].tolist(),
        'global': len(group['global_descriptor']),
    }
with h5py.File(folder + '/matches.h5', 'r') as f:
    pair = f['/'.join(n.replace('/', '-') for n in ('a.png', 'sub/c.png'))]
    m, s = pair['matches0'][:], pair['matching_scores0'][:]
    facts['matches'] = [list(m.shape), int((m >= 0).sum()), bool(((m == -1) == (s == 0)).all()), int(m.max()), float(s.max())]
    facts['identity'] = int((m[m >= 0] == np.where(m >= 0)[0]).sum())
print(json.dumps({'names': names, **facts}))
`;
    const facts = JSON.parse(execFileSync(PYTHON, ['-c', script, join(root, 'h5py')], { encoding: 'utf8' }));
    const { lengths, matches, identity, ...exact } = facts;
    assert.deepEqual(exact, {
      names: ['a.png', 'b.png', 'sub/c.png'],
      keys: ['descriptors', 'global_descriptor', 'image_size', 'keypoints', 'scores'],
      // Cells of 12 x 8 pixels: centres (6, 4) to (90, 60) in our coordinates.
      keypoints: [[64, 2], 'float32', [5.5, 3.5], [89.5, 59.5]],
      uncertainty: 6,
      descriptors: [12, 64],
      scores: [64],
      image_size: [WIDTH, HEIGHT],
      global: 16,
    });
    assert.ok(Math.abs(lengths[0] - 1) < 1e-5 && Math.abs(lengths[1] - 1) < 1e-5);
    const [shape, count, agree, largest, best] = matches;
    assert.deepEqual([shape, agree], [[64], true]);
    assert.ok(count > 20 && largest < 64 && best > 0.9 && best <= 1.000001);
    assert.ok(identity > 0.8 * count, 'a brighter copy matches itself');
  });
});

describe('a COLMAP database', () => {
  const orientations = [1, 2, 3, 4, 5, 6, 7, 8];

  test('has coordinates of the pixels as they are stored, in all eight EXIF orientations', async () => {
    const text = orientations.slice(1).map((i) => (i % 2 === 0 ? `1.tif ${i}.tif\n` : `${i}.tif 1.tif\n`));
    const choice = { kind: 'list', file: 'pairs.txt', text: text.join('') } as const;
    const matching = { mutual: true, homography: {} };
    const summary = await run(turned, 'colmap', { format: 'colmap', choice, matching });
    assert.deepEqual([summary.images, summary.pairs, summary.homographies], [8, 7, 7]);
    const upright = await sharp(join(turned, '1.tif')).raw().toBuffer();
    const hloc = await readHdf5(join(root, 'colmap', 'features.h5'));
    const inHloc = (name: string, set: string) => (hloc.root.get(`${name}/${set}`) as Dataset).value as Float32Array;
    const { grid } = await client.features({
      pixels: await readFile(join(turned, '1.tif')),
      resize: { kind: 'native' },
    });
    const database = new sqlite.Database(join(root, 'colmap', 'database.db'), { readOnly: true });
    const rows = (sql: string) => database.all(sql) as Record<string, number | bigint | string | Uint8Array>[];
    const float32 = (bytes: unknown) => new Float32Array((bytes as Uint8Array).slice().buffer);
    const points = new Map<number, Float32Array>();
    try {
      const images = rows('SELECT * FROM images JOIN cameras USING (camera_id) JOIN keypoints USING (image_id)');
      assert.equal(images.length, 8);
      for (const { image_id, name, width, height, data, cols, params } of images) {
        const orientation = Number.parseInt(name as string, 10);
        const size = orientation >= 5 ? [HEIGHT, WIDTH] : [WIDTH, HEIGHT];
        assert.deepEqual([width, height, cols], [...size, 2]);
        assert.deepEqual(
          [...new Float64Array((params as Uint8Array).slice().buffer)],
          [1.2 * WIDTH, size[0]! / 2, size[1]! / 2, 0],
        );
        // COLMAP's decoder does not turn the image.
        const { data: stored, info } = await sharp(join(turned, name as string))
          .raw()
          .toBuffer({ resolveWithObject: true });
        assert.deepEqual([info.width, info.height], size);
        const found = float32(data);
        points.set(Number(image_id), found);
        assert.deepEqual([...inHloc(name as string, 'image_size')], size);
        assert.deepEqual(
          inHloc(name as string, 'keypoints'),
          found.map((value) => value - 0.5),
        );
        for (let row = 0; row < grid.rows; row++) {
          for (let column = 0; column < grid.columns; column++) {
            const [x, y] = centre(grid, row, column);
            const cell = row * grid.columns + column;
            // The pixel to the upper left of the centre, which lies on a corner of pixels, in the upright image.
            const wanted = (Math.floor(y!) * WIDTH + Math.floor(x!)) * 3;
            const around = [0, -1].flatMap((down) =>
              [0, -1].map((right) => {
                const at =
                  ((Math.floor(found[cell * 2 + 1]!) + down) * info.width + Math.floor(found[cell * 2]!) + right) * 3;
                return stored.subarray(at, at + 3).join();
              }),
            );
            assert.ok(around.includes(upright.subarray(wanted, wanted + 3).join()), `${name}, cell ${cell}`);
          }
        }
      }
      const geometries = rows('SELECT * FROM two_view_geometries');
      assert.equal(geometries.length, 7);
      for (const { pair_id, rows: inliers, data, config, H, F } of geometries) {
        const second = Number(BigInt(pair_id as number) % 2147483647n);
        assert.equal((BigInt(pair_id as number) - BigInt(second)) / 2147483647n, 1n);
        assert.equal(config, 6);
        assert.equal((F as Uint8Array).length, 72);
        const indices = new Uint32Array((data as Uint8Array).slice().buffer);
        assert.equal(indices.length, 2 * Number(inliers));
        assert.ok(Number(inliers) >= 0.9 * grid.rows * grid.columns);
        const h = new Float64Array((H as Uint8Array).slice().buffer);
        const [from, to] = [points.get(1)!, points.get(second)!];
        for (let i = 0; i < indices.length; i += 2) {
          assert.equal(indices[i], indices[i + 1], 'the images are one, so that cells match themselves');
          const [x, y] = [from[indices[i]! * 2]!, from[indices[i]! * 2 + 1]!];
          const w = h[6]! * x + h[7]! * y + h[8]!;
          const [u, v] = [(h[0]! * x + h[1]! * y + h[2]!) / w, (h[3]! * x + h[4]! * y + h[5]!) / w];
          const error = Math.hypot(u - to[indices[i + 1]! * 2]!, v - to[indices[i + 1]! * 2 + 1]!);
          assert.ok(error < 1e-3, `image ${second}: ${error} pixels`);
        }
      }
    } finally {
      hloc.close();
      database.close();
    }
  });

  test('is opened by COLMAP, which verifies its matches', { skip: skipWithoutColmap() }, async () => {
    const choice = { kind: 'list', file: 'pairs.txt', text: '1.tif 3.tif\n6.tif 2.tif\n' } as const;
    await run(turned, 'verified', { format: 'colmap', choice });
    const [database, list] = [join(root, 'verified', 'database.db'), join(root, 'list.txt')];
    await writeFile(list, choice.text);
    colmap('matches_importer', '--database_path', database, '--match_list_path', list, '--SiftMatching.use_gpu', '0');
    // COLMAP leaves it in WAL mode, which the library of this test cannot read: the file itself says which mode it is.
    const bytes = await readFile(database);
    bytes.fill(1, 18, 20);
    const copy = join(root, 'verified', 'copy.db');
    await writeFile(copy, bytes);
    const opened = new sqlite.Database(copy, { readOnly: true });
    const verified = opened.all(
      'SELECT t.rows AS inliers, m.rows AS matches, config FROM two_view_geometries t JOIN matches m USING (pair_id)',
    );
    opened.close();
    assert.equal(verified.length, 2);
    for (const { inliers, matches, config } of verified as Record<string, number>[]) {
      assert.ok(matches! > 80 && inliers === matches, `${inliers} of ${matches}`);
      assert.ok([4, 5, 6].includes(config!), `configuration ${config}: planar or panoramic`);
    }
  });

  test('one camera needs images of one size; a list without homographies has no geometries', async () => {
    await assert.rejects(run(turned, 'colmap', { format: 'colmap', singleCamera: true }), {
      code: 'bad_images',
      message: /^--single-camera: 5.tif has 64 x 96 pixels, and 1.tif 96 x 64/,
    });
    const summary = await run(photos, 'camera', { format: 'colmap', singleCamera: true });
    assert.deepEqual([summary.images, summary.homographies], [3, undefined]);
    const database = new sqlite.Database(join(root, 'camera', 'database.db'), { readOnly: true });
    const count = (table: string) => database.get(`SELECT count(*) AS n FROM ${table}`)!['n'];
    assert.deepEqual(['cameras', 'images', 'matches', 'two_view_geometries'].map(count), [1, 3, 3, 0]);
    assert.deepEqual(database.get('SELECT max(camera_id) AS n FROM images'), { n: 1 });
    database.close();
  });
});

describe('a set of images', () => {
  test('pairs by retrieval, other pairs and other options reuse features; other settings need another folder', async () => {
    const first = await run(photos, 'reuse', { choice: { kind: 'retrieval', count: 1 } });
    assert.ok(first.pairs >= 2 && first.pairs <= 3);
    assert.match(await readFile(join(root, 'reuse', 'pairs.txt'), 'utf8'), /a.png sub\/c.png/);
    assert.deepEqual((await run(photos, 'reuse')).computed, { images: 0, pairs: 3 - first.pairs });
    const ratio = await run(photos, 'reuse', { matching: { mutual: true, ratio: 0.9, topGamma: 5 } });
    assert.deepEqual(ratio.computed, { images: 0, pairs: 3 });
    assert.ok(ratio.matches <= 15);
    await assert.rejects(run(photos, 'reuse', { features: { ...native, space: 'backbone' } }), {
      code: 'other_settings',
      message: /features.h5 has features with space "localProjector", not "backbone"; use another --out/,
    });
    const dense = await run(photos, 'dense', {
      features: { ...native, tiles: { width: 32, overlap: 16 }, upsample: 2 },
    });
    assert.equal(dense.images, 3);
    const file = await openFeatureFile(join(root, 'dense', 'features.h5'));
    const { rows, columns, cellToPixel } = file.read('b.png');
    file.close();
    assert.deepEqual([rows, columns, cellToPixel.scaleX], [16, 24, 4]);
    await writeFile(join(root, 'dense', 'features.h5'), 'no HDF5');
    await assert.rejects(run(photos, 'dense'), { code: 'damaged', message: /features.h5 is not a file of features/ });
  });

  test('of another model of the same name and version are refused, and folders without a digest are continued', async () => {
    const settingsIn = async (out: string) => {
      const file = await openFeatureFile(join(root, out, 'features.h5'));
      file.close();
      return JSON.parse(file.settings) as { modelSha256?: string };
    };
    await run(photos, 'digest', { modelSha256: 'aa' });
    assert.equal((await settingsIn('digest')).modelSha256, 'aa');
    assert.deepEqual((await run(photos, 'digest', { modelSha256: 'aa' })).computed, { images: 0, pairs: 0 });
    await assert.rejects(run(photos, 'digest', { modelSha256: 'bb' }), {
      code: 'other_settings',
      message: /features.h5 has features with modelSha256 "aa", not "bb"; use another --out/,
    });
    await assert.rejects(run(photos, 'digest'), { code: 'other_settings', message: /modelSha256 "aa", not none/ });

    await run(photos, 'no-digest');
    const known = await run(photos, 'no-digest', { modelSha256: 'aa' });
    assert.deepEqual(known.computed, { images: 0, pairs: 0 });
    assert.equal((await settingsIn('no-digest')).modelSha256, undefined);
  });

  test('a stopped run goes on where it was, with the files of an unbroken one', async () => {
    const whole = await run(photos, 'whole', { matching: { mutual: true, homography: {} } });
    assert.deepEqual(whole.computed, { images: 3, pairs: 3 });
    for (const stopAt of ['features', 'matching'] as const) {
      const out = `stopped-${stopAt}`;
      const controller = new AbortController();
      let part = '';
      const progress = {
        begin: (name: string) => {
          part = name;
        },
        advance: () => part === stopAt && controller.abort(new Error('stopped')),
      };
      const options = { matching: { mutual: true, homography: {} } };
      await assert.rejects(run(photos, out, { ...options, progress, signal: controller.signal }), /stopped/);
      await assert.rejects(readFile(join(root, out, 'matches.h5')), { code: 'ENOENT' });
      const { computed } = await run(photos, out, options);
      if (stopAt === 'features') assert.ok(computed.images < 3 && computed.pairs === 3);
      else assert.deepEqual(computed, { images: 0, pairs: 2 });
      for (const file of ['features.h5', 'matches.h5', 'pairs.txt', 'match-set.json']) {
        assert.ok(
          (await readFile(join(root, out, file))).equals(await readFile(join(root, 'whole', file))),
          `${out}/${file}`,
        );
      }
    }
  });

  test('images that cannot be read are left out and listed, and pairs with them are counted', async () => {
    const mixed = join(root, 'mixed');
    await mkdir(mixed);
    await copyFile(join(photos, 'a.png'), join(mixed, 'a.png'));
    await copyFile(join(photos, 'b.png'), join(mixed, 'b.png'));
    await writeFile(join(mixed, 'none.jpg'), 'no image');
    await writeFile(join(mixed, 'cut.png'), (await readFile(join(photos, 'a.png'))).subarray(0, 900));
    const choice = {
      kind: 'list',
      file: 'pairs.txt',
      text: 'a.png b.png\nnone.jpg a.png\ncut.png none.jpg\n',
    } as const;
    const summary = await run(mixed, 'failed', { choice });
    assert.deepEqual([summary.images, summary.pairs, summary.skippedPairs], [2, 1, 2]);
    assert.deepEqual(
      summary.failed.map(({ name }) => name),
      ['cut.png', 'none.jpg'],
    );
    const lines = (await readFile(join(root, 'failed', 'failed.jsonl'), 'utf8')).trim().split('\n');
    assert.match(JSON.parse(lines[1]!).reason, /image is text/);
    await copyFile(join(photos, 'b.png'), join(mixed, 'none.jpg'));
    const again = await run(mixed, 'failed', { choice });
    assert.deepEqual([again.pairs, again.failed.length, again.computed.images], [2, 1, 1]);
  });

  test("names that hloc's files cannot have are rejected before any work", async () => {
    const odd = join(root, 'odd');
    await mkdir(join(odd, 'x'), { recursive: true });
    await copyFile(join(photos, 'a.png'), join(odd, 'x', 'a.png'));
    await copyFile(join(photos, 'a.png'), join(odd, 'x-a.png'));
    const same = /images x-a.png and x\/a.png have the same name .*, x-a.png; rename/;
    await assert.rejects(run(odd, 'odd-out'), { code: 'bad_images', message: same });
    await rm(join(odd, 'x-a.png'));
    await copyFile(join(photos, 'a.png'), join(odd, 'x', 'a b.png'));
    await assert.rejects(run(odd, 'odd-out'), { code: 'bad_images', message: /image "x\/a b.png" has a space/ });
    assert.equal((await run(odd, 'odd-out', { format: 'colmap' })).pairs, 1);
  });
});

describe('vicregl match-set', () => {
  const command = (...words: string[]) => vicreglInHost('match-set', '--model', model.folder.dir, ...words);
  const base = (out: string) => ['--images', photos, '--out', join(root, out), '--resize', 'native'];

  test('prints a summary; mistakes in flags and lists are errors that name them, and leave no folder', async () => {
    const refused = async (words: string[], message: RegExp) => {
      const { code, stderr } = await command(...base('none'), ...words);
      assert.equal(code, 1, stderr);
      assert.match(stderr, message);
    };
    await refused([], /no pairs: give one of --pairs FILE, --exhaustive and --retrieval COUNT/);
    await refused(['--exhaustive', '--retrieval', '2'], /pairs are chosen twice/);
    await refused(['--pairs', join(root, 'absent.txt')], /--pairs: .*absent.txt cannot be read/);
    const list = join(root, 'bad.txt');
    await writeFile(list, 'a.png b.png\na.png nowhere.png\n');
    await refused(['--pairs', list], /bad.txt, line 2: there is no image "nowhere.png"/);
    await refused(['--exhaustive', '--ratio', '1.5'], /--ratio .* at most 1/);
    await refused(['--exhaustive', '--resize', 'longest:0'], /It must be longest:SIDE/);
    await refused(['--exhaustive', '--resize', 'fit:17x19'], /--resize: width is 17, not a multiple/);
    await refused(['--exhaustive', '--tiles', '100'], /--tiles: width is 100, not a multiple/);
    await refused(['--exhaustive', '--single-camera'], /--single-camera: applies to --format colmap, not hloc/);
    await refused(['--exhaustive', '--out', ''], /--out: empty; name a file or folder/);
    const gone = await vicreglInHost('match-set', ...base('none'), '--exhaustive', '--address', '127.0.0.1:1');
    assert.match(gone.stderr, /^vicregl: UNAVAILABLE: no answer from 127.0.0.1:1 /m, 'and not an error of --out');
    await assert.rejects(readdir(join(root, 'none')), { code: 'ENOENT' });
    await writeFile(list, 'a.png b.png\n');
    const { code, stdout, stderr } = await command(
      ...base('command'),
      '--pairs',
      list,
      '--format',
      'json',
      '--no-mutual',
    );
    assert.equal(code, 0, stderr);
    const { matches, pairs } = JSON.parse(stdout);
    assert.deepEqual([pairs, matches], [1, (WIDTH / 8) * (HEIGHT / 8)]);
  });

  test('exits with 3 if images cannot be read', async () => {
    const broken = join(root, 'broken');
    await mkdir(broken);
    await copyFile(join(photos, 'a.png'), join(broken, 'a.png'));
    await writeFile(join(broken, 'b.png'), 'no image');
    const { code, stdout } = await command('--images', broken, '--out', join(root, 'three'), '--exhaustive');
    assert.equal(code, 3);
    assert.equal(JSON.parse(stdout).failed[0].name, 'b.png');
  });

  test('killed at any time, it leaves no half file, and goes on', async () => {
    const many = join(root, 'many');
    await mkdir(many);
    for (let i = 0; i < 8; i++) await copyFile(join(photos, i % 2 === 0 ? 'a.png' : 'b.png'), join(many, `${i}.png`));
    const words = [
      'match-set',
      '--model',
      model.folder.dir,
      '--images',
      many,
      '--retrieval',
      '1',
      '--resize',
      'fit:256x256',
    ];
    const out = join(root, 'killed');
    const cache = join(out, 'cache');
    const child = spawn(process.execPath, [bin, ...words, '--out', out], { stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const parts = async () => {
      const folder = (await readdir(cache).catch(() => [])).find((name) => name.startsWith('features-'));
      return folder === undefined
        ? 0
        : (await readdir(join(cache, folder))).filter((name) => !name.startsWith('.')).length;
    };
    await until(async () => (await parts()) > 0);
    child.kill('SIGKILL');
    await ended;
    await assert.rejects(readFile(join(out, 'matches.h5')), { code: 'ENOENT' });
    const { code, stdout, stderr } = await vicreglInHost(...words, '--out', out);
    assert.equal(code, 0, stderr);
    const { images, computed } = JSON.parse(stdout);
    assert.equal(images, 8);
    assert.ok(computed.images < 8, `${computed.images} images were computed again`);
    const unbroken = join(root, 'unbroken');
    assert.equal((await vicreglInHost(...words, '--out', unbroken)).code, 0);
    for (const file of ['features.h5', 'matches.h5', 'pairs.txt', 'match-set.json']) {
      assert.ok((await readFile(join(out, file))).equals(await readFile(join(unbroken, file))), file);
    }
    assert.deepEqual(
      (await readdir(out)).filter((name) => name.includes('tmp') || name.includes('lock')),
      [],
    );
    assert.equal(dirname(cache), out);
  });
});
