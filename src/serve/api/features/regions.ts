import { bitmapRuns, compressedLengths, type Runs, runLengthRuns } from '../../../featureOps/maskRuns.js';
import {
  cellsUnder,
  READER_CELL_BYTES,
  REGION_CELL_BYTES,
  RegionReader,
  type RegionWeights,
} from '../../../featureOps/pool.js';
import type { Grid } from '../../../image/geometry.js';
import type { Box, Size } from '../../../image/types.js';
import type { Box__Output } from '../../../proto/generated/vicregl/v1/Box.js';
import type { Mask__Output } from '../../../proto/generated/vicregl/v1/Mask.js';
import type { PoolingRegion__Output } from '../../../proto/generated/vicregl/v1/PoolingRegion.js';
import { runInSlices } from '../../../tensor/slices.js';
import { type Call, timed } from '../../call/call.js';
import { ServeError } from '../../call/serveError.js';
import { overLimit } from '../../config/serveLimits.js';
import type { ServeContext } from '../context.js';
import { inField, invalid } from '../wire/fields.js';

/**
 * Reads a box.
 * @throws ServeError `invalid_argument` for a box without area.
 */
export function readBox(box: Box__Output, field: string): Box {
  const { left, top, right, bottom } = box;
  if ([left, top, right, bottom].every(Number.isFinite) && right > left && bottom > top) return box;
  throw invalid(
    `${field}: left ${left}, top ${top}, right ${right}, bottom ${bottom} is not a rectangle; right must be ` +
      'greater than left and bottom greater than top, in pixels of the original',
  );
}

/** @throws ServeError `invalid_argument` if a mask has another size than the image. */
function checkSize(mask: Size, original: Size, field: string): void {
  if (mask.width === original.width && mask.height === original.height) return;
  throw invalid(
    `${field}: a mask of ${mask.width} x ${mask.height} pixels does not fit the image of ${original.width} x ` +
      `${original.height} (after EXIF orientation); send a mask of that size`,
  );
}

async function maskRuns(
  { decoder, admission }: Pick<ServeContext, 'decoder' | 'admission'>,
  mask: Mask__Output,
  original: Size,
  field: string,
  call: Call,
): Promise<Runs> {
  if (mask.png) {
    const { png } = mask;
    const { data } = await admission.decoding.run(call, () =>
      timed(call, 'decode', () => decoder.mask(png, original, call.signal)),
    );
    return bitmapRuns(data, original.width, original.height);
  }
  if (mask.bitmap) {
    const { data, width, height } = mask.bitmap;
    checkSize(mask.bitmap, original, `${field}.bitmap`);
    if (data.byteLength === width * height) return bitmapRuns(data, width, height);
    throw invalid(`${field}.bitmap.data: ${data.byteLength} bytes are not width * height = ${width * height}`);
  }
  if (mask.runLengths) {
    const { counts, compressed, width, height } = mask.runLengths;
    checkSize(mask.runLengths, original, `${field}.run_lengths`);
    if (counts.length > 0 && compressed.byteLength > 0) {
      throw invalid(`${field}.run_lengths: has both counts and compressed; send one of them`);
    }
    return runLengthRuns(compressed.byteLength > 0 ? compressedLengths(compressed) : counts, width, height);
  }
  throw invalid(`${field}: empty; set run_lengths, bitmap or png`);
}

async function runsOf(
  context: ServeContext,
  region: PoolingRegion__Output,
  original: Size,
  field: string,
  call: Call,
): Promise<Runs> {
  if (region.box) {
    const { left, right, top, bottom } = readBox(region.box, `${field}.box`);
    return [[left, right, top, bottom]];
  }
  if (region.mask) return maskRuns(context, region.mask, original, `${field}.mask`, call);
  throw invalid(`${field}: empty; set box or mask`);
}

/** Cost of reading a mask in pixels of a bitmap: a run length, or a byte of compressed ones, counts as one. */
function maskPixels({ runLengths }: Mask__Output, original: Size): number {
  if (runLengths) return runLengths.counts.length + runLengths.compressed.byteLength;
  return original.width * original.height;
}

/** @throws ServeError `too_large` if all masks of a request together have too many pixels. */
function checkMasks({ limits }: ServeContext, regions: readonly PoolingRegion__Output[], original: Size): void {
  const pixels = regions.reduce((sum, { mask }) => sum + (mask ? maskPixels(mask, original) : 0), 0);
  if (pixels <= limits.maskPixels) return;
  throw new ServeError(
    'too_large',
    `pooling: the masks are ${pixels} pixels (a run length counts as one), ` +
      `${overLimit(limits, 'maskPixels')}; send run lengths, or fewer regions at a time`,
  );
}

/** @throws ServeError `too_large` if pooling needs too many multiplications. */
function checkProducts({ limits }: ServeContext, cells: number, channels: number): void {
  const products = cells * channels;
  if (products <= limits.maxReduceProducts) return;
  throw new ServeError(
    'too_large',
    `pooling: the cells under the regions and ${channels} channels are ${products} products or more, ` +
      `${overLimit(limits, 'maxReduceProducts')}; send fewer regions at a time, or ask for a smaller size (resize)`,
  );
}

/** A map of which regions are read. */
interface PooledMap {
  readonly usedGrid: Grid;
  readonly channels: number;
}

/**
 * Maximum bytes of the weights of a request's regions, which are held from before its image runs until they are pooled. A mask may cover
 * the whole map, but all regions together cover no more cells than the limit of products allows.
 * @throws ServeError `invalid_argument` for a box without area
 */
export function regionBytes(
  { limits }: Pick<ServeContext, 'limits'>,
  regions: readonly PoolingRegion__Output[],
  maps: readonly PooledMap[],
): number {
  return maps.reduce((sum, { usedGrid, channels }) => {
    const all = usedGrid.rows * usedGrid.columns;
    const wanted = regions.reduce(
      (cells, { box }, i) => cells + (box ? cellsUnder(usedGrid, readBox(box, `pooling.regions[${i}].box`)) : all),
      0,
    );
    const cells = Math.min(wanted, Math.floor(limits.maxReduceProducts / channels));
    return sum + cells * REGION_CELL_BYTES + all * READER_CELL_BYTES;
  }, 0);
}

/** Counts the cells that reading visits. @throws ServeError `too_large` */
function countVisits({ limits }: ServeContext): (cells: number) => void {
  let visited = 0;
  return (cells) => {
    visited += cells;
    if (visited <= limits.maskPixels) return;
    throw new ServeError(
      'too_large',
      `pooling: the rectangles of the regions touch ${visited} cells or more (a cell counts once for each), ` +
        `${overLimit(limits, 'maskPixels')}; ask for a smaller size of upsample, or send fewer regions at a time`,
    );
  };
}

/**
 * The weights of the cells under each region of a request, on each of its maps. Each region is read once, whatever the number of
 * maps, and only one decoded mask is in memory at a time.
 * @returns [maps][regions]
 * @throws ServeError, FeatureOpError or ImageError naming the region that is wrong; ServeError `overloaded` if too many images
 *   and masks wait to be decoded.
 */
export async function readRegions(
  context: ServeContext,
  regions: readonly PoolingRegion__Output[],
  maps: readonly PooledMap[],
  original: Size,
  call: Call,
): Promise<readonly (readonly RegionWeights[])[]> {
  checkMasks(context, regions, original);
  const grids = maps.map(({ usedGrid }) => usedGrid);
  const reader = new RegionReader(grids, countVisits(context));
  const found = maps.map(() => ({ weights: [] as RegionWeights[], cells: 0 }));
  for (const [i, region] of regions.entries()) {
    const field = `pooling.regions[${i}]`;
    let ofMaps: RegionWeights[];
    try {
      const runs = await runsOf(context, region, original, field, call);
      ofMaps = await timed(call, 'encode', () => runInSlices(reader.read(runs), call.signal));
    } catch (error) {
      throw inField(field, error);
    }
    for (const [at, weights] of ofMaps.entries()) {
      const map = found[at]!;
      map.weights.push(weights);
      map.cells += weights.cells.length;
      checkProducts(context, map.cells, maps[at]!.channels);
    }
  }
  return found.map(({ weights }) => weights);
}
