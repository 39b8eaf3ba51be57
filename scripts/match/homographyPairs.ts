/**
 * The service's matches and homographies beside the truth: two photographs of a plane with a known homography, and one of
 * them turned and scaled, where the truth is known by construction. The service is a process of its own.
 *
 *   node dist/scripts/match/homographyPairs.js --a graf1.png --b graf3.png --homography H1to3p.xml
 *     [--model DIR] [--random] [--sizes native,1600x1280] [--spaces localProjector,backbone] [--views 0x1,15x1,30x0.8]
 *
 * The homography is nine numbers, or a file of OpenCV's, between numbers of pixels. --random sets the same network with
 * random weights beside it. Debian's package opencv-doc has such a pair in /usr/share/doc/opencv-doc/examples/data.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { startService } from '../../src/bench/serviceProcess.js';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import { type Client, createClient, type MatchPair, type Resize } from '../../src/client/index.js';
import type { Size } from '../../src/image/types.js';
import { openModelFolder } from '../../src/models/folder.js';
import { writeRandomNetwork } from '../bench/randomNetwork.js';
import {
  fromPixelCentres,
  type Homography,
  mapPoint,
  type PlanarView,
  readHomographyFile,
  turnedView,
} from './planarView.js';

const { values } = parseArgs({
  options: {
    a: { type: 'string' },
    b: { type: 'string' },
    homography: { type: 'string' },
    model: {
      type: 'string',
      default: bundledModelFolder,
    },
    random: { type: 'boolean', default: false },
    sizes: { type: 'string', default: 'native' },
    spaces: { type: 'string', default: 'localProjector,backbone' },
    views: { type: 'string', default: '0x1,15x1,30x0.8' },
    within: { type: 'string', default: '16,32,64' },
  },
});
const { a, b, homography } = values;
if (a === undefined) throw new Error('--a: give the first picture');
if ((b === undefined) !== (homography === undefined)) throw new Error('--b and --homography go together');

const rounded = (value: number) => Number(value.toPrecision(3));

interface Case extends PlanarView {
  readonly name: string;
}

async function cases(photo: Buffer): Promise<Case[]> {
  const list: Case[] = [];
  if (b !== undefined && homography !== undefined) {
    const truth = fromPixelCentres(readHomographyFile(await readFile(homography, 'utf8')));
    list.push({ name: `${basename(a!)} and ${basename(b)}`, file: await readFile(b), truth });
  }
  for (const view of values.views.split(',').filter(Boolean)) {
    const [degrees, scale] = view.split('x').map(Number) as [number, number];
    list.push({
      name: `${basename(a!)} turned by ${degrees} degrees, x ${scale}`,
      ...(await turnedView(photo, degrees, scale)),
    });
  }
  return list;
}

function readSize(size: string): Resize {
  if (size === 'native') return { kind: 'native' };
  const [width, height] = size.split('x').map(Number) as [number, number];
  return { kind: 'fit', width, height };
}

/** Matches whose true place lies in b, and how far off they are, in pixels of b. */
function offsets(pairs: readonly MatchPair[], truth: Homography, { width, height }: Size): number[] {
  return pairs.flatMap(({ a: from, b: to }) => {
    const [x, y] = mapPoint(truth, from.x, from.y);
    return x >= 0 && y >= 0 && x < width && y < height ? [Math.hypot(to.x - x, to.y - y)] : [];
  });
}

/** Distances in pixels of b between where two homographies take the corners of a: mean, as in HPatches, and largest. */
function cornerError(found: Homography, truth: Homography, { width, height }: Size): { mean: number; worst: number } {
  const corners = [
    [0, 0],
    [width, 0],
    [0, height],
    [width, height],
  ] as const;
  const errors = corners.map(([x, y]) => {
    const [[u, v], [s, t]] = [mapPoint(found, x, y), mapPoint(truth, x, y)];
    return Math.hypot(u - s, v - t);
  });
  return { mean: rounded(errors.reduce((sum, error) => sum + error, 0) / 4), worst: rounded(Math.max(...errors)) };
}

async function sizeOf(file: Uint8Array): Promise<Size> {
  const { width, height } = await sharp(file).metadata();
  return { width, height };
}

/** Chance that a place drawn evenly over b lies so near to another drawn place, the border left out of account. */
const chance = (within: number, { width, height }: Size): number => (Math.PI * within * within) / (width * height);

async function score(client: Client, photo: Buffer, { name, file, truth }: Case, size: string, space: string) {
  const resize = readSize(size);
  const {
    pairs,
    gridB,
    homography: fit,
  } = await client.match(
    { pixels: photo, resize },
    { pixels: file, resize },
    { space: space as 'backbone' | 'localProjector', topGamma: 0, mutual: true, homography: true },
  );
  const [sizeA, sizeB] = [await sizeOf(photo), await sizeOf(file)];
  const off = offsets(pairs, truth, sizeB);
  const { scaleX, scaleY } = gridB.cellToPixel;
  const pitch = Math.max(Math.abs(scaleX), Math.abs(scaleY));
  const share = (within: number) => rounded(off.filter((distance) => distance <= within).length / off.length);
  return {
    case: name,
    size,
    space,
    cellsOfB: `${gridB.columns} x ${gridB.rows}`,
    mutualPairs: pairs.length,
    truePlaceInB: off.length,
    sharesWithinPx: Object.fromEntries(values.within.split(',').map((text) => [text, share(Number(text))])),
    chance: Object.fromEntries(values.within.split(',').map((text) => [text, rounded(chance(Number(text), sizeB))])),
    // Both within the pitch of b's cells, the service's default: fewer that agree with the truth is the model's doing, fewer
    // that agree with what was found is the search's.
    pairsThatAgreeWith: { truth: off.filter((distance) => distance <= pitch).length, found: fit?.inlierCount },
    samples: fit?.iterations,
    cornerErrorPx: fit?.matrix ? cornerError(fit.matrix, truth, sizeA) : fit?.absence,
  };
}

const scratch = await mkdtemp(join(tmpdir(), 'vicregl-homography-'));
try {
  const models = [values.model];
  if (values.random) {
    const { manifest } = await openModelFolder(values.model);
    models.push(join(scratch, 'random'));
    await writeRandomNetwork(models[1]!, manifest.architecture);
  }
  const photo = await readFile(a);
  for (const model of models) {
    const service = await startService(['--model', model]);
    const client = createClient({ address: service.address, deadlineMs: 120_000 });
    try {
      for (const each of await cases(photo)) {
        for (const size of values.sizes.split(',')) {
          for (const space of values.spaces.split(',')) {
            // A network with random weights was never given heads.
            if (model !== values.model && space === 'localProjector') continue;
            console.log(JSON.stringify({ model: basename(model), ...(await score(client, photo, each, size, space)) }));
          }
        }
      }
    } finally {
      await client.close();
      await service.stop();
    }
  }
} finally {
  await rm(scratch, { recursive: true });
}
