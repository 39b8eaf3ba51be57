import type { Lattice } from '../../dense/lattice.js';
import { bitmapRuns, type Runs, readCompressedCounts, runLengthRuns } from '../../dense/mask.js';
import { type RegionWeights, regionWeights } from '../../dense/pool.js';
import { decodeMask } from '../../image/mask.js';
import { inTurns } from '../../match/turns.js';
import type { Mask__Output } from '../../proto/generated/vicregl/v1/Mask.js';
import type { PoolingRegion__Output } from '../../proto/generated/vicregl/v1/PoolingRegion.js';
import type { Call } from '../call.js';
import type { ServeContext } from '../context.js';
import { ServeError } from '../serveError.js';
import { readBox } from './box.js';
import { inField } from './inField.js';

interface Size {
  readonly width: number;
  readonly height: number;
}

/** @throws ServeError `invalid_argument` where a mask has another size than the image. */
function checkSize(mask: Size, original: Size, field: string): void {
  if (mask.width === original.width && mask.height === original.height) return;
  throw new ServeError(
    'invalid_argument',
    `${field}: a mask of ${mask.width} x ${mask.height} pixels does not lie on the image of ${original.width} x ` +
      `${original.height} (after EXIF orientation); send it at that size`,
  );
}

async function maskRuns(context: ServeContext, mask: Mask__Output, original: Size, field: string): Promise<Runs> {
  if (mask.png) {
    const { png } = mask;
    const { data } = await context.decoding(() => decodeMask(png, original));
    return bitmapRuns(data, original.width, original.height);
  }
  if (mask.bitmap) {
    const { data, width, height } = mask.bitmap;
    checkSize(mask.bitmap, original, `${field}.bitmap`);
    if (data.byteLength === width * height) return bitmapRuns(data, width, height);
    throw new ServeError(
      'invalid_argument',
      `${field}.bitmap.data: ${data.byteLength} bytes are not width * height = ${width * height}`,
    );
  }
  if (mask.runLengths) {
    const { counts, compressed, width, height } = mask.runLengths;
    checkSize(mask.runLengths, original, `${field}.run_lengths`);
    if (counts.length > 0 && compressed.byteLength > 0) {
      throw new ServeError(
        'invalid_argument',
        `${field}.run_lengths: has both counts and compressed; send one of them`,
      );
    }
    return runLengthRuns(compressed.byteLength > 0 ? readCompressedCounts(compressed) : counts, width, height);
  }
  throw new ServeError('invalid_argument', `${field}: empty; set run_lengths, bitmap or png`);
}

async function runsOf(
  context: ServeContext,
  region: PoolingRegion__Output,
  original: Size,
  field: string,
): Promise<Runs> {
  if (region.box) return [readBox(region.box, `${field}.box`)];
  if (region.mask) return maskRuns(context, region.mask, original, `${field}.mask`);
  throw new ServeError('invalid_argument', `${field}: empty; set box or mask`);
}

/**
 * The cells under each region of a request, on each of some lattices.
 * @returns [lattices][regions]
 * @throws ServeError, DenseError or ImageError naming the region that is wrong.
 */
export async function readRegions(
  context: ServeContext,
  regions: readonly PoolingRegion__Output[],
  lattices: readonly Lattice[],
  original: Size,
  call: Call,
): Promise<readonly (readonly RegionWeights[])[]> {
  const found = lattices.map((): RegionWeights[] => []);
  for (const [i, region] of regions.entries()) {
    const field = `pooling.regions[${i}]`;
    try {
      for (const [at, lattice] of lattices.entries()) {
        const runs = await runsOf(context, region, original, field);
        found[at]!.push(await inTurns(regionWeights(lattice, runs), call.signal));
      }
    } catch (error) {
      throw inField(field, error);
    }
  }
  return found;
}
