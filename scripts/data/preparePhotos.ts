/**
 * Collects the photographs that the bundled model was trained on: OUT/train, OUT/held-out and OUT/SOURCES.json.
 *
 *   node dist/scripts/data/preparePhotos.js --imagenet-sample DIR --out DIR [--exclude FILE] [--manifest TSV] [--packages DIR]
 *     [--camvid DIR]
 *
 * - imagenet-sample: a folder of photographs. The 100 whose names have the lowest sha256 are held out.
 * - exclude: names of photographs, one per line, that are neither trained on nor held out, for example because they are also in
 *   another data set.
 * - manifest: tab-separated columns package, path, class, kind, ... The photographs are the rows of kind `photo`. Packages
 *   that the folder --packages lacks are downloaded into it. Without --packages, the rows are skipped.
 * - camvid: every 4th frame of train/images, because neighbouring frames look alike.
 *
 * Files that are missing or cannot be read are skipped and reported. Of files with the same bytes, only the first is kept.
 */

import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { unpackedPackage } from './packages.js';

const HELD_OUT = 100;
const CAMVID_STEP = 4;
const SHRINK_ABOVE = 600;
const SHRINK_TO = 512;
const QUALITY = 92;

/** Packages whose scenes are test fixtures and evaluation data. Training must not see them. */
const EVALUATION_PACKAGES = new Set(['opencv-doc', 'python3-skimage']);

interface Tally {
  kept: number;
  shrunk: number;
  duplicates: number;
  skipped: string[];
}

const { values } = parseArgs({
  options: {
    'imagenet-sample': { type: 'string' },
    exclude: { type: 'string' },
    manifest: { type: 'string', default: fileURLToPath(new URL('../../../scripts/data/photos.tsv', import.meta.url)) },
    camvid: { type: 'string' },
    packages: { type: 'string' },
    out: { type: 'string' },
  },
});
const required = (name: 'imagenet-sample' | 'manifest' | 'out'): string => {
  const value = values[name];
  if (value === undefined)
    throw new Error(`--${name} is missing; see the comment at the top of scripts/data/preparePhotos.ts`);
  return value;
};

const out = required('out');
const tallies: Record<string, Tally> = {};
const seen = new Set<string>();

function tallyOf(source: string): Tally {
  tallies[source] ??= { kept: 0, shrunk: 0, duplicates: 0, skipped: [] };
  return tallies[source];
}

/** Copies or shrinks one photograph to `folder` as `name` (without extension). A file that cannot be read is recorded as skipped. */
async function keep(source: string, path: string, folder: string, name: string): Promise<void> {
  const tally = tallyOf(source);
  try {
    const bytes = await readFile(path);
    const digest = createHash('sha256').update(bytes).digest('hex');
    if (seen.has(digest)) {
      tally.duplicates++;
      return;
    }
    const image = sharp(bytes, { limitInputPixels: 1e8 });
    const { width, height, hasAlpha } = await image.metadata();
    if (Math.min(width, height) > SHRINK_ABOVE || hasAlpha) {
      await image
        .autoOrient()
        .flatten({ background: '#fff' })
        .resize(SHRINK_TO, SHRINK_TO, { fit: 'outside', withoutEnlargement: true })
        .jpeg({ quality: QUALITY, chromaSubsampling: '4:4:4' })
        .toFile(join(folder, `${name}.jpg`));
      tally.shrunk++;
    } else {
      // Decode it once, so that a damaged file is found here and not in training.
      await image.stats();
      await copyFile(path, join(folder, name + extname(path).toLowerCase()));
    }
    seen.add(digest);
    tally.kept++;
  } catch (error) {
    tally.skipped.push(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const folders = { train: join(out, 'train'), heldOut: join(out, 'held-out') };
for (const folder of Object.values(folders)) {
  // Start with empty folders, so that no file of an earlier run is left.
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
}

const imagenet = required('imagenet-sample');
const found = (await readdir(imagenet)).filter((name) => /\.(jpe?g|png|webp)$/i.test(name)).sort();
const excluded = new Set(
  values.exclude === undefined ? [] : (await readFile(values.exclude, 'utf8')).split(/\r?\n/).filter(Boolean),
);
const unknown = [...excluded].filter((name) => !found.includes(name));
if (unknown.length > 0) throw new Error(`--exclude names files that ${imagenet} lacks: ${unknown.join(', ')}`);
const photographs = found.filter((name) => !excluded.has(name));
const digestOf = (name: string) => createHash('sha256').update(name).digest('hex');
const heldOut = new Set([...photographs].sort((a, b) => (digestOf(a) < digestOf(b) ? -1 : 1)).slice(0, HELD_OUT));
// Held-out files come first: of two files with the same bytes, the training file is dropped.
for (const name of heldOut) {
  await keep('imagenet-sample, held out', join(imagenet, name), folders.heldOut, basename(name, extname(name)));
}
for (const name of photographs.filter((name) => !heldOut.has(name))) {
  await keep('imagenet-sample, train', join(imagenet, name), folders.train, basename(name, extname(name)));
}

const [, ...rows] = (await readFile(required('manifest'), 'utf8')).trim().split('\n');
const byPackage = new Map<string, string[]>();
for (const row of rows) {
  const [name = '', path = '', , kind] = row.split('\t');
  if (kind === 'photo') byPackage.set(name, [...(byPackage.get(name) ?? []), path]);
}
for (const [name, paths] of byPackage) {
  const tally = tallyOf(name);
  if (EVALUATION_PACKAGES.has(name)) {
    tally.skipped.push(`all ${paths.length}: kept for evaluation`);
  } else if (values.packages === undefined) {
    tally.skipped.push(`all ${paths.length}: --packages was not given`);
  } else {
    await mkdir(values.packages, { recursive: true });
    try {
      const root = await unpackedPackage(name, values.packages);
      for (const path of paths) {
        const flat = `${name}__${path.slice(0, -extname(path).length)}`.replace(/[^\w.-]+/g, '_').slice(-180);
        await keep(name, join(root, path), folders.train, flat);
      }
    } catch (error) {
      tally.skipped.push(`all ${paths.length}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

if (values.camvid !== undefined) {
  const images = join(values.camvid, 'train', 'images');
  const frames = (await readdir(images)).sort().filter((_, i) => i % CAMVID_STEP === 0);
  for (const frame of frames) {
    await keep('camvid, train', join(images, frame), folders.train, `camvid__${basename(frame, extname(frame))}`);
  }
}

const train = (await readdir(folders.train)).length;
const sources = {
  train,
  heldOut: (await readdir(folders.heldOut)).length,
  shrinking: `Photographs with a short side above ${SHRINK_ABOVE} px were shrunk to ${SHRINK_TO} px (JPEG quality ${QUALITY}), those with alpha flattened onto white; all others are the original files.`,
  holdOut: `The ${HELD_OUT} imagenet-sample files whose names have the lowest sha256.`,
  sources: tallies,
  heldOutNames: [...heldOut].sort(),
  excluded: [...excluded].sort(),
};
await writeFile(join(out, 'SOURCES.json'), `${JSON.stringify(sources, null, 2)}\n`);
for (const [source, tally] of Object.entries(tallies)) {
  console.log(
    `${source}: ${tally.kept} kept (${tally.shrunk} re-encoded), ${tally.duplicates} duplicates, ${tally.skipped.length} skipped`,
  );
  for (const reason of tally.skipped.slice(0, 3)) console.log(`  ${reason}`);
}
console.log(`${train} to train on, ${sources.heldOut} held out`);
