/**
 * Lets COLMAP verify the matches of `vicregl match-set` on photographs and views of them whose homographies are known (Debian:
 * colmap). Prints a table in Markdown; docs/proofs/colmap.md holds the last one.
 *
 *   QT_QPA_PLATFORM=offscreen node dist/scripts/proofs/colmap.js
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sqlite from 'node-sqlite3-wasm';
import sharp from 'sharp';
import { cornerError } from '../../src/evaluate/homography/planarMap.js';
import { type PlanarView, viewOf } from '../../src/evaluate/homography/planarViews.js';
import { decodeImage } from '../../src/image/decode.js';
import { type Homography, multiply, normalised } from '../../src/image/homography.js';
import { readStoredImage, uprightToStored } from '../../src/image/orientation.js';
import type { RgbImage } from '../../src/image/types.js';
import { stream } from '../../src/tensor/random.js';

const PHOTOGRAPHS = ['astronaut.jpg', 'chelsea.png', 'coffee.jpg'];
const VIEWS: readonly PlanarView[] = [{ kind: 'rotation', degrees: 10, scale: 0.9 }, { kind: 'perspective' }];
/** Pixels: about a cell of these photographs. */
const MAX_ERROR = 16;

/** A pair of files, and the homography between the pixels as they are stored. */
interface KnownPair {
  readonly a: string;
  readonly b: string;
  readonly truth: Homography;
  readonly size: { readonly width: number; readonly height: number };
}

/** Writes a view so that EXIF has to turn it: COLMAP will see it on its side. */
async function writeTurned(path: string, { width, height, data }: RgbImage): Promise<void> {
  const stored = sharp(data, { raw: { width, height, channels: 3 } }).rotate(270);
  await stored.tiff({ compression: 'none' }).withMetadata({ orientation: 6 }).toFile(path);
}

async function makePairs(folder: string): Promise<KnownPair[]> {
  const pairs: KnownPair[] = [];
  for (const name of PHOTOGRAPHS) {
    const bytes = await readFile(join('test/fixtures/photos', name));
    await writeFile(join(folder, name), bytes);
    const photograph = await decodeImage(bytes);
    for (const [i, view] of VIEWS.entries()) {
      const { image, toView } = viewOf(photograph, view, stream(0, name, i));
      const b = `${name}.${view.kind}.tif`;
      await writeTurned(join(folder, b), image);
      const toStored = uprightToStored(await readStoredImage(await readFile(join(folder, b))));
      pairs.push({ a: name, b, truth: normalised(multiply(toStored, Array.from(toView))), size: photograph });
    }
  }
  return pairs;
}

interface Geometry {
  readonly matches: number;
  readonly inliers: number;
  readonly config: number;
  /** Corner error in pixels of b. */
  readonly error: number | undefined;
}

/** The two-view geometries of a database, in the order of the pairs. */
async function geometriesOf(path: string, pairs: readonly KnownPair[]): Promise<(Geometry | undefined)[]> {
  // COLMAP leaves it in WAL mode, which this library does not read. The file itself says which mode it is.
  const bytes = await readFile(path);
  bytes.fill(1, 18, 20);
  await writeFile(`${path}.copy`, bytes);
  const database = new sqlite.Database(`${path}.copy`, { readOnly: true });
  try {
    const ids = new Map(
      database.all('SELECT name, image_id FROM images').map((row) => [row['name'] as string, Number(row['image_id'])]),
    );
    return pairs.map(({ a, b, truth, size }) => {
      const [first, second] = [ids.get(a)!, ids.get(b)!];
      if (first > second) throw new Error(`${a} is not before ${b}`);
      const id = BigInt(first) * 2147483647n + BigInt(second);
      const row = database.get(
        'SELECT t.rows AS inliers, m.rows AS matches, config, H FROM two_view_geometries t JOIN matches m USING (pair_id) WHERE pair_id = ?',
        [id],
      ) as Record<string, unknown> | null;
      if (row === null) return undefined;
      const config = Number(row['config']);
      const matrix = new Float64Array(((row['H'] as Uint8Array | null) ?? new Uint8Array()).slice().buffer);
      const planar = [4, 5, 6].includes(config) && matrix.length === 9;
      return {
        matches: Number(row['matches']),
        inliers: Number(row['inliers']),
        config,
        error: planar ? cornerError(normalised(Array.from(matrix)), truth, size) : undefined,
      };
    });
  } finally {
    database.close();
  }
}

const pixels = (error: number | undefined): string => (error === undefined ? 'none' : `${error.toFixed(1)} px`);

const root = await mkdtemp(join(tmpdir(), 'vicregl-colmap-'));
try {
  const pairs = await makePairs(root);
  const list = join(root, 'pairs.txt');
  await writeFile(list, pairs.map(({ a, b }) => `${a} ${b}\n`).join(''));
  const out = join(root, 'out');
  const database = join(out, 'database.db');
  const own = ['--images', root, '--pairs', list, '--out', out, '--format', 'colmap', '--local'];
  const run = (...more: string[]): void => {
    execFileSync(process.execPath, ['bin/vicregl.js', 'match-set', ...own, ...more], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  };
  run('--homography', '--homography-threshold', String(MAX_ERROR));
  const ours = await geometriesOf(database, pairs);
  // Without homographies: COLMAP verifies the matches itself.
  run();
  const flags = [
    '--SiftMatching.use_gpu',
    '0',
    '--SiftMatching.max_error',
    String(MAX_ERROR),
    '--SiftMatching.planar_scene',
    '1',
    '--SiftMatching.min_inlier_ratio',
    '0.1',
  ];
  const environment = { ...process.env, QT_QPA_PLATFORM: 'offscreen' };
  const told = execFileSync(
    'colmap',
    ['matches_importer', '--database_path', database, '--match_list_path', list, ...flags],
    {
      env: environment,
      encoding: 'utf8',
    },
  );
  if (!told.includes('Elapsed time')) throw new Error(`COLMAP has not matched: ${told}`);
  const theirs = await geometriesOf(database, pairs);
  const version = execFileSync('colmap', ['help'], { env: environment, encoding: 'utf8' }).split('\n')[0];
  console.log(`${version}\n`);
  console.log('| pair | matches | our inliers | our corner error | COLMAP: inliers | configuration | corner error |');
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  for (const [i, { a, b }] of pairs.entries()) {
    const [one, other] = [ours[i], theirs[i]];
    console.log(
      `| ${a}, ${b} | ${other?.matches ?? one?.matches ?? ''} | ${one?.inliers ?? 'too few'} | ${pixels(one?.error)} | ` +
        `${other?.inliers ?? 0} | ${other?.config ?? ''} | ${pixels(other?.error)} |`,
    );
  }
} finally {
  await rm(root, { recursive: true, force: true });
}
