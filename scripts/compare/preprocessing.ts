/**
 * Compares our decoding and resizing with PIL's on photographs: differences between the pixels and between the embeddings.
 *
 *   node dist/scripts/compare/preprocessing.js --images DIR [--model DIR] [--python /usr/bin/python3]
 *
 * Each photograph is resized to a shortest side of 256 and cropped to the central 224 pixels, by us (libvips) and by PIL
 * (pil_resize.py, which needs python3-pil). Besides the photographs of the folder, it measures a greyscale, a CMYK and an
 * EXIF-rotated JPEG of the first one. Prints JSON: the mean absolute difference of 8-bit pixels and the cosine similarity of
 * the model's representations.
 */

import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import { decodeImage } from '../../src/image/decode.js';
import { prepareImage } from '../../src/image/resize.js';
import { imageAgreement, runBackbone, summariseCosines } from '../../src/models/agreement.js';
import { openModelFolder } from '../../src/models/folder.js';
import { createSession } from '../../src/onnx/session.js';
import { tensor } from '../../src/tensor/tensor.js';

const root = new URL('../../../', import.meta.url);
const { values } = parseArgs({
  options: {
    images: { type: 'string' },
    model: { type: 'string', default: bundledModelFolder },
    python: { type: 'string', default: '/usr/bin/python3' },
  },
});
if (values.images === undefined) throw new Error('--images is missing: a folder of photographs');

const RESIZE = 256;
const CROP = 224;
const VARIANTS = ['greyscale.jpg', 'cmyk.jpg', 'rotated.jpg'];

const scratch = await mkdtemp(join(tmpdir(), 'vicregl-preprocessing-'));
const names = (await readdir(values.images)).filter((name) => /\.(jpe?g|png)$/i.test(name)).sort();
const photographs = names.map((name) => join(values.images!, name));
const pixelsFile = join(scratch, 'pixels');
const script = fileURLToPath(new URL('scripts/compare/pil_resize.py', root));
execFileSync(values.python, [script, '--variants', scratch, pixelsFile, ...photographs], { stdio: 'inherit' });
const theirs = new Uint8Array(await readFile(pixelsFile));

const { manifest, graphPath } = await openModelFolder(values.model);
const session = await createSession(graphPath('backbone')!);
const size = CROP * CROP * 3;
const rows: { name: string; difference: number; representation: number; worstCell: number }[] = [];
for (const [i, path] of [...photographs, ...VARIANTS.map((name) => join(scratch, name))].entries()) {
  const policy = { kind: 'shortestSide', resize: RESIZE, crop: CROP } as const;
  const { image } = await prepareImage(await decodeImage(await readFile(path)), policy, manifest.stride);
  const expected = theirs.subarray(i * size, (i + 1) * size);
  const difference = image.data.reduce((sum, value, at) => sum + Math.abs(value - expected[at]!), 0) / size;
  const shape = [1, CROP, CROP, 3];
  const ours = await runBackbone(session, tensor('uint8', shape, image.data));
  const agreement = imageAgreement(ours, await runBackbone(session, tensor('uint8', shape, expected)));
  const worstCell = summariseCosines(agreement.cells ?? []).worst;
  rows.push({ name: basename(path), difference, representation: agreement.representation, worstCell });
}
await session.release();
await rm(scratch, { recursive: true });

const plain = rows.slice(0, photographs.length);
const mean = (list: readonly number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;
const differences = plain.map(({ difference }) => difference);
console.log(
  JSON.stringify(
    {
      photographs: plain.length,
      pixelDifference: { mean: mean(differences), worst: Math.max(...differences) },
      representation: summariseCosines(plain.map(({ representation }) => representation)),
      worstCell: Math.min(...plain.map((row) => row.worstCell)),
      variants: rows.slice(photographs.length),
    },
    null,
    2,
  ),
);
