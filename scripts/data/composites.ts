/**
 * Makes a segmentation data set from photographs inside Debian and npm packages: cut-out objects of ten classes on photographic
 * backgrounds.
 *
 *   node dist/scripts/data/composites.js --packages DIR --out DIR [--fold 0] [--train 1000] [--test 300] [--size 256] [--seed 1]
 *
 * Writes OUT/{train,test}/{images,masks}/NNNNN.{jpg,png} and OUT/{train,test}/classes.txt. Test objects and test backgrounds are
 * those of one fold of the manifest, and training has none of them. Packages that --packages lacks are downloaded with apt-get and npm.
 * The same arguments give the same files. Paste artefacts make the task easier than real photographs.
 */

import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { stream } from '../../src/tensor/random.js';
import { type CutOut, clearWhiteBackground, compose, opaqueShare, type PlacedObject } from './compose.js';
import { unpackedPackage } from './packages.js';

/** Classes of objects, in the order of their labels; 0 is the background. */
const CLASSES = [
  'sealife',
  'vegetable',
  'fruit',
  'mammal',
  'instrument',
  'bird',
  'person',
  'tool_household',
  'vehicle',
  'flower',
] as const;
const BACKGROUNDS = new Set(['landscape', 'outdoor_place', 'building_monument', 'energy_structure']);
/** Objects are shrunk to this long side in pixels when they are read. */
const MAX_SIDE = 512;
/** An object that fills less or more of its box than this has a mask that failed. */
const OPAQUE = [0.05, 0.98] as const;

interface Row {
  readonly pack: string;
  readonly path: string;
  readonly class: string;
  readonly kind: string;
  readonly fold: number;
}

const { values } = parseArgs({
  options: {
    manifest: { type: 'string', default: fileURLToPath(new URL('../../../scripts/data/photos.tsv', import.meta.url)) },
    packages: { type: 'string' },
    out: { type: 'string' },
    fold: { type: 'string', default: '0' },
    train: { type: 'string', default: '1000' },
    test: { type: 'string', default: '300' },
    size: { type: 'string', default: '256' },
    seed: { type: 'string', default: '1' },
  },
});
const { packages, out } = values;
if (packages === undefined || out === undefined) {
  throw new Error('--packages and --out are required; see the head of scripts/data/composites.ts');
}
const whole = (name: 'fold' | 'train' | 'test' | 'size' | 'seed'): number => {
  const value = Number(values[name]);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new Error(`--${name} is ${values[name]}; it must be a whole number`);
  return value;
};
const [fold, size, seed] = [whole('fold'), whole('size'), whole('seed')];
const counts = { train: whole('train'), test: whole('test') };

const [, ...lines] = (await readFile(values.manifest, 'utf8')).trim().split('\n');
const rows = lines.map((line): Row => {
  const [pack = '', path = '', name = '', kind = '', , , , part = ''] = line.split('\t');
  return { pack, path, class: name, kind, fold: Number(part) };
});
const objects = rows.filter((row) => row.kind !== 'photo' && (CLASSES as readonly string[]).includes(row.class));
const backgrounds = rows.filter((row) => row.kind === 'photo' && BACKGROUNDS.has(row.class));

await mkdir(packages, { recursive: true });
const roots = new Map<string, string>();
for (const pack of new Set([...objects, ...backgrounds].map((row) => row.pack))) {
  try {
    roots.set(pack, await unpackedPackage(pack, packages));
  } catch (error) {
    console.error(`${pack} is left out: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
  }
}

/** The object of a row, cropped to what is visible; undefined if its mask is unusable. */
async function readObject({ pack, path, kind }: Row): Promise<CutOut | undefined> {
  const { data, info } = await sharp(join(roots.get(pack)!, path))
    .autoOrient()
    .resize(MAX_SIDE, MAX_SIDE, { fit: 'inside', withoutEnlargement: true })
    .toColourspace('srgb')
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const object = { width: info.width, height: info.height, data: Uint8Array.from(data) };
  if (kind === 'automask') clearWhiteBackground(object);
  const share = opaqueShare(object);
  if (share < OPAQUE[0] || (kind === 'automask' && share > OPAQUE[1])) return undefined;
  return cropped(object);
}

/** The smallest part that has every opaque pixel. */
function cropped({ width, height, data }: CutOut): CutOut {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[(y * width + x) * 4 + 3]! <= 127) continue;
      [left, top] = [Math.min(left, x), Math.min(top, y)];
      [right, bottom] = [Math.max(right, x + 1), Math.max(bottom, y + 1)];
    }
  }
  const part = new Uint8Array((right - left) * (bottom - top) * 4);
  for (let y = top; y < bottom; y++) {
    part.set(data.subarray((y * width + left) * 4, (y * width + right) * 4), (y - top) * (right - left) * 4);
  }
  return { width: right - left, height: bottom - top, data: part };
}

const readBackground = ({ pack, path }: Row): Promise<Uint8Array> =>
  sharp(join(roots.get(pack)!, path))
    .autoOrient()
    .flatten({ background: '#fff' })
    .toColourspace('srgb')
    .resize(size, size, { fit: 'cover' })
    .raw()
    .toBuffer();

await rm(`${out}.partial`, { recursive: true, force: true });
for (const split of ['train', 'test'] as const) {
  const inSplit = (row: Row) => roots.has(row.pack) && (row.fold === fold) === (split === 'test');
  const ofSplit = objects.filter(inSplit);
  const behind = backgrounds.filter(inSplit);
  const byClass = CLASSES.map((name) => ofSplit.filter((row) => row.class === name));
  const missing = CLASSES.filter((_, i) => byClass[i]!.length === 0);
  if (missing.length > 0 || behind.length === 0) {
    throw new Error(
      `${split}, fold ${fold}: nothing for ${[...missing, ...(behind.length === 0 ? ['background'] : [])].join(', ')}; are all packages there?`,
    );
  }
  const folder = join(`${out}.partial`, split);
  await mkdir(join(folder, 'images'), { recursive: true });
  await mkdir(join(folder, 'masks'), { recursive: true });
  const cache = new Map<Row, CutOut | undefined>();
  for (let i = 0; i < counts[split]; i++) {
    const random = stream(seed, 'composite', split, i);
    const background = behind[random.integer(behind.length)]!;
    const placed: PlacedObject[] = [];
    for (const wanted = 1 + random.integer(3); placed.length < wanted; ) {
      // Classes are equally frequent, whatever their number of objects.
      const label = random.integer(CLASSES.length);
      const row = byClass[label]![random.integer(byClass[label]!.length)]!;
      if (!cache.has(row)) cache.set(row, await readObject(row));
      const object = cache.get(row);
      if (object !== undefined) placed.push({ object, label: label + 1 });
    }
    const { image, mask } = await compose(random, await readBackground(background), size, placed);
    const name = String(i).padStart(5, '0');
    await sharp(image, { raw: { width: size, height: size, channels: 3 } })
      .jpeg({ quality: 92, chromaSubsampling: '4:4:4' })
      .toFile(join(folder, 'images', `${name}.jpg`));
    await sharp(mask, { raw: { width: size, height: size, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toFile(join(folder, 'masks', `${name}.png`));
  }
  const rejected = [...cache.values()].filter((object) => object === undefined).length;
  await writeFile(join(folder, 'classes.txt'), `${['background', ...CLASSES].join('\n')}\n`);
  console.log(
    `${split}: ${counts[split]} composites of ${ofSplit.length} objects (${rejected} with an unusable mask) on ${behind.length} backgrounds`,
  );
}
await rm(out, { recursive: true, force: true });
await rename(`${out}.partial`, out);
