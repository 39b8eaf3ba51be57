/**
 * Draws the paper's qualitative figure: two crops of each photograph with their best location-based matches (left) and
 * feature-based matches (right), a row for each photograph.
 *
 *   node dist/scripts/docs/matchFigure.js [--model models/vicregl-resnet18-half] [--out FILE.jpg] [--top 20] [--seed 0] PHOTO...
 *
 * Crops have at least 20 % of the photograph's area, and half of the larger one is also in the other.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { withClient } from '../../src/cli/connect.js';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import { drawMatchesOf } from '../../src/cli/drawMatches.js';
import type { Client } from '../../src/client/client.js';
import type { Matches } from '../../src/client/matches.js';
import { overlappingCrops } from '../../src/evaluate/matching/cropPairs.js';
import { writeOutputFile } from '../../src/files/output.js';
import { decodeImage } from '../../src/image/decode.js';
import { stream } from '../../src/tensor/random.js';

const CROPS = { scale: [0.2, 0.6], aspect: [3 / 4, 4 / 3] } as const;
/** Share of the larger crop that is also in the other one. */
const LEAST_OVERLAP = 0.5;
/** Width of one half of a row, and the gap between the halves and between rows, in pixels. */
const HALF = 640;
const GAP = 12;

const { values, positionals: photos } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: bundledModelFolder },
    out: { type: 'string', default: 'docs/images/matches-by-kind.jpg' },
    top: { type: 'string', default: '20' },
    seed: { type: 'string', default: '0' },
  },
});
if (photos.length === 0)
  throw new Error('usage: matchFigure.js [--model DIR] [--out FILE.jpg] [--top 20] [--seed 0] PHOTO...');
const topGamma = Number(values.top);

/** Both halves of a photograph's row: matches by location and by features. */
async function halves(client: Client, photo: string): Promise<Buffer[]> {
  const pixels = await readFile(photo);
  const size = await decodeImage(pixels);
  const [first, second] = overlappingCrops(
    stream(Number(values.seed), 'matchFigure', photo),
    size,
    CROPS,
    LEAST_OVERLAP,
  );
  const a = { pixels, crop: first };
  const b = { pixels, crop: second };
  const found: Matches[] = [
    await client.match(a, b, { by: 'location', topGamma }),
    await client.match(a, b, { by: 'features', mutual: false, topGamma }),
  ];
  return Promise.all(
    found.map(async (matches) =>
      sharp(await drawMatchesOf(a, b, matches))
        .resize({ width: HALF })
        .png()
        .toBuffer(),
    ),
  );
}

const flags = { model: values.model, local: false, device: 'cpu', tls: false, tokenInClear: false } as const;
await withClient(flags, async (client) => {
  const parts: { input: Buffer; left: number; top: number }[] = [];
  let top = 0;
  for (const photo of photos) {
    const [left, right] = (await halves(client, photo)) as [Buffer, Buffer];
    parts.push({ input: left, left: 0, top }, { input: right, left: HALF + 2 * GAP, top });
    top += (await sharp(left).metadata()).height + GAP;
  }
  const background = 'white';
  const sheet = sharp({ create: { width: 2 * (HALF + GAP), height: top - GAP, channels: 3, background } }).composite(
    parts,
  );
  await writeOutputFile('--out', values.out, await sheet.jpeg({ quality: 85 }).toBuffer());
});
