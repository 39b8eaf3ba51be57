import type { EngineOutputs } from '../../../engine/engine.js';
import { addTile, blendWeights, emptyMap } from '../../../featureOps/mergeTiles.js';
import { cut } from '../../../image/resample.js';
import { layOutTiles, type TileLayout, type Tiling, tileCount } from '../../../image/tiles.js';
import type { PreparedImage, Size } from '../../../image/types.js';
import type { Image__Output } from '../../../proto/generated/vicregl/v1/Image.js';
import { runInSlices } from '../../../tensor/slices.js';
import type { Tensor } from '../../../tensor/tensor.js';
import { type Call, timed } from '../../call/call.js';
import { ServeError } from '../../call/serveError.js';
import { overLimit } from '../../config/serveLimits.js';
import type { ScopedTiles } from '../../inference/scopedQueue.js';
import type { ServeContext } from '../context.js';
import { namedOutputs } from '../infer.js';
import { inField } from '../wire/fields.js';
import { knownSize, readImage, readResizePolicy } from '../wire/image.js';
import type { PlannedMap } from './plan.js';

/** An image that has its places in the queue. */
export interface ComputableImage {
  readonly prepared: PreparedImage;
  /** Runs the network. @returns [rows, columns, C] of each map, in order */
  infer(maps: readonly PlannedMap[]): Promise<readonly Tensor<'float32'>[]>;
}

/**
 * Tiles of one image that are in the queue or run at a time. It fills the batches of two workers, and other images get their turn
 * between the tiles of a large one.
 */
const TILES_IN_FLIGHT = 8;

const RGB = 3;

/** @throws ServeError `too_large` over `tilesPerImage`. */
function checkCount({ limits }: ServeContext, image: Size, tiling: Tiling): void {
  const tiles = tileCount(image, tiling);
  if (tiles <= limits.tilesPerImage) return;
  const { window, overlap } = tiling;
  throw new ServeError(
    'too_large',
    `tiles: an image of ${image.width} x ${image.height} pixels in windows of ${window.width} x ${window.height} with an ` +
      `overlap of ${overlap} has ${tiles} tiles, ${overLimit(limits, 'tilesPerImage')}; ask for larger windows, less overlap, or a ` +
      'smaller size (resize)',
  );
}

/**
 * Bytes of an image, and of the tiles that are copied from it at the same time.
 * @param pixels of the image
 */
function bytesWithTiles(pixels: number, tiles: number, { width, height }: Size): number {
  return RGB * (pixels + Math.min(tiles, TILES_IN_FLIGHT) * width * height);
}

/** As `layOutTiles`; errors name the field. */
function layOut(image: Size, tiling: Tiling, { limits }: ServeContext): TileLayout {
  try {
    return layOutTiles(image, tiling, limits.output);
  } catch (error) {
    throw inField('tiles', error);
  }
}

/**
 * Reserves places and bytes for an image that is not decoded yet. If it keeps its size, the number of its tiles is not known: then
 * as many as it may have are reserved.
 */
async function reserve(context: ServeContext, tiling: Tiling, image: Image__Output, call: Call): Promise<ScopedTiles> {
  const { limits, engine, queue } = context;
  const known = knownSize(readResizePolicy(image, engine.manifest, true));
  if (known) {
    checkCount(context, known, tiling);
    const { tile } = layOut(known, tiling, context);
    const tiles = tileCount(known, tiling);
    return queue.reserveTiles(call, tiles, bytesWithTiles(known.width * known.height, tiles, tile));
  }
  const { window } = tiling;
  const tiles = limits.tilesPerImage;
  const pixels = Math.min(limits.image.imagePixels, tiles * window.width * window.height);
  return queue.reserveTiles(call, tiles, bytesWithTiles(pixels, tiles, window));
}

/**
 * Reserves a place in the queue for each tile of an image, then reads the image.
 * @throws as `readImage` and `BatchQueue.reserveTiles`; ServeError `too_large` for too many tiles; ImageError naming `tiles` for a
 *   window that may not be a network input.
 */
export async function admitTiles(
  context: ServeContext,
  tiling: Tiling,
  image: Image__Output | null,
  call: Call,
): Promise<ComputableImage> {
  const places = image === null ? undefined : await reserve(context, tiling, image, call);
  const prepared = await readImage(context, image, 'image', call, true);
  checkCount(context, prepared.image, tiling);
  const layout = layOut(prepared.image, tiling, context);
  const { width, height } = prepared.image;
  const tiles = tileCount(prepared.image, tiling);
  // Without an image, `readImage` has thrown.
  places!.shrink(tiles, bytesWithTiles(width * height, tiles, layout.tile));
  return {
    prepared,
    infer: (maps) => inferTiles(prepared, layout, maps, places!, call).finally(places!.release),
  };
}

/** The windows of a layout, row by row, with their numbers on each axis. */
function* windowsOf({ lefts, tops, tile }: TileLayout) {
  for (const [row, top] of tops.entries()) {
    for (const [column, left] of lefts.entries()) yield { row, column, rectangle: { left, top, ...tile } };
  }
}

/** The merged map of a planned map, and the weights of the windows on both axes. */
function mergeInto({ grid, channels, stride }: PlannedMap, { lefts, tops, tile }: TileLayout) {
  const inCells = (starts: readonly number[]) => starts.map((start) => start / stride);
  return {
    merged: emptyMap(grid.rows, grid.columns, channels),
    rows: inCells(tops),
    columns: inCells(lefts),
    down: blendWeights(grid.rows, inCells(tops), tile.height / stride),
    across: blendWeights(grid.columns, inCells(lefts), tile.width / stride),
  };
}

/**
 * Runs the network on every window, and merges the maps. Windows are merged in order, whatever the order in which they are computed,
 * so that the sums do not depend on it.
 * @returns [rows, columns, C] of each map, in order
 */
async function inferTiles(
  { image }: PreparedImage,
  layout: TileLayout,
  maps: readonly PlannedMap[],
  places: ScopedTiles,
  call: Call,
): Promise<readonly Tensor<'float32'>[]> {
  const outputs = maps.map(({ output }) => output);
  const merging = maps.map((map) => mergeInto(map, layout));
  const wants = new Set(outputs);
  const running: { readonly row: number; readonly column: number; readonly computed: Promise<EngineOutputs> }[] = [];
  const mergeOldest = async (): Promise<void> => {
    const { row, column, computed } = running.shift()!;
    for (const [i, map] of namedOutputs(await computed, outputs).entries()) {
      const { merged, rows, columns, down, across } = merging[i]!;
      const at = { row: rows[row]!, column: columns[column]!, down: down[row]!, across: across[column]! };
      await timed(call, 'encode', () => runInSlices(addTile(merged, map, at), call.signal));
    }
  };
  for (const { row, column, rectangle } of windowsOf(layout)) {
    if (running.length === TILES_IN_FLIGHT) await mergeOldest();
    const computed = places.run(cut(image, rectangle), wants, call);
    // After the failure of one tile, nobody waits for the others.
    computed.catch(() => {});
    running.push({ row, column, computed });
  }
  while (running.length > 0) await mergeOldest();
  return merging.map(({ merged }) => merged);
}
