import { checkReduction, type Reduction } from '../../../featureOps/reduce.js';
import { checkCells, type Window, windowGrid, windowUnder } from '../../../featureOps/selectCells.js';
import { type MapSize, type Upsampling, upsampledGrid, upsampledSize } from '../../../featureOps/upsample.js';
import { type Grid, gridOf } from '../../../image/geometry.js';
import { readTiling, type Tiling } from '../../../image/tiles.js';
import type { Box, PreparedImage } from '../../../image/types.js';
import type { Cell__Output } from '../../../proto/generated/vicregl/v1/Cell.js';
import type { ExtractFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { PoolingRegion__Output } from '../../../proto/generated/vicregl/v1/PoolingRegion.js';
import type { Tiles__Output } from '../../../proto/generated/vicregl/v1/Tiles.js';
import type { Upsample__Output } from '../../../proto/generated/vicregl/v1/Upsample.js';
import { ServeError } from '../../call/serveError.js';
import { overLimit, type ServeLimits } from '../../config/serveLimits.js';
import type { ServeContext } from '../context.js';
import { checkCount, inField, invalid } from '../wire/fields.js';
import { bytesOfMap } from '../wire/grid.js';
import { type RequestedMap, requestedMaps } from '../wire/model.js';
import { readDType, type WireDType, wireBytes } from '../wire/wireTensor.js';
import { readPca } from './pca.js';
import { readBox } from './regions.js';

/** The dense options of a request, checked as far as possible without the image. */
export interface FeaturePlan {
  readonly maps: readonly RequestedMap[];
  readonly dtype: WireDType;
  readonly l2Normalize: boolean;
  readonly region?: Box;
  readonly cells?: readonly Cell__Output[];
  readonly regions?: readonly PoolingRegion__Output[];
  readonly pca?: Reduction & { readonly components: number };
  readonly upsampling?: Upsampling;
  readonly tiling?: Tiling;
}

/** One map of a plan for a known image. */
export interface PlannedMap extends RequestedMap {
  /** The whole map as the network computes it, merged from tiles. */
  readonly grid: Grid;
  /** The size to which it is enlarged. Absent: it is not. */
  readonly upsampled?: MapSize;
  /** The cells (of the enlarged map) that are sent or pooled. Absent: all. */
  readonly window?: Window;
  /** The grid of those cells. */
  readonly usedGrid: Grid;
  /** Number of vectors in the response. */
  readonly vectors: number;
  /** Length of each vector. */
  readonly dimensions: number;
  /** Bytes in the response. */
  readonly bytes: number;
  /** Bytes of float32 maps in memory: the map, and its enlarged cells. */
  readonly mapBytes: number;
}

const countWays = { none: 'list at least one, or omit the message', tooMany: 'send several requests' };

/**
 * Reads the dense options of a request.
 * @throws ServeError naming the field.
 */
export function planFeatures(context: ServeContext, request: ExtractFeaturesRequest__Output): FeaturePlan {
  const { limits } = context;
  const { pooling, cells, region, pca, l2Normalize } = request;
  const maps = requestedMaps(context.engine, request);
  if (cells) {
    checkCount('cells.cells', cells.cells, limits, 'namedCells', countWays);
    if (pooling) throw invalid('cells: pooling selects the cells under each region; omit one of the two');
    if (maps.length > 1) throw invalid('cells: several stages have different cells; ask for one stage at a time');
  }
  if (pooling) checkCount('pooling.regions', pooling.regions, limits, 'poolingRegions', countWays);
  if (pca?.basis && maps.length > 1) {
    throw invalid('pca.basis: several stages have different vectors; ask for one stage at a time');
  }
  const reduction = pca ? withField('pca', () => readPca(pca, limits, maps[0]!.channels)) : undefined;
  const upsampling = request.upsample ? readUpsampling(request.upsample) : undefined;
  const tiling = request.tiles ? tilingOf(context, request.tiles) : undefined;
  return {
    maps,
    dtype: readDType(request.dtype),
    l2Normalize,
    ...(region && { region: readBox(region, 'region') }),
    ...(cells && { cells: cells.cells }),
    ...(pooling && { regions: pooling.regions }),
    ...(reduction && { pca: reduction }),
    ...(upsampling && { upsampling }),
    ...(tiling && { tiling }),
  };
}

/** @throws ServeError `invalid_argument` naming the field. */
function readUpsampling({ factor, size }: Upsample__Output): Upsampling {
  if (size) return { rows: size.rows, columns: size.columns };
  if (factor === undefined) throw invalid('upsample: empty; set factor or size');
  if (factor >= 1) return { factor };
  throw invalid(`upsample.factor: ${factor} must be at least 1`);
}

/** @throws ImageError `bad_dimensions` naming the field. */
function tilingOf({ engine: { manifest } }: ServeContext, tiles: Tiles__Output): Tiling {
  const { width, height, overlap } = tiles;
  const given = { width, height, ...(overlap !== undefined && { overlap }) };
  return withField('tiles', () => readTiling(given, manifest.preprocessing.crop, manifest.stride));
}

/** Runs `work`; adds the name of the field to errors of the dense layer. */
function withField<T>(field: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw inField(field, error);
  }
}

function planMap(plan: FeaturePlan, map: RequestedMap, image: PreparedImage, limits: ServeLimits): PlannedMap {
  const grid = gridOf(image, map.stride);
  const { region, cells, upsampling } = plan;
  const upsampled = upsampling && withField('upsample', () => upsampledSize(grid, upsampling));
  const whole = upsampled ? upsampledGrid(grid, upsampled) : grid;
  const window = region && withField('region', () => windowUnder(whole, region));
  const usedGrid = window ? windowGrid(whole, window) : whole;
  const vectors = plan.regions?.length ?? plan.cells?.length ?? usedGrid.rows * usedGrid.columns;
  const dimensions = plan.pca?.components ?? map.channels;
  if (cells) withField('cells.cells', () => checkCells(usedGrid, cells));
  let bytes = wireBytes(vectors, dimensions, plan.dtype);
  const { pca } = plan;
  if (pca) {
    withField('pca', () => checkReduction(pca, vectors, map.channels));
    // largestEigenPairs works on two more.
    const computed = 'basis' in pca ? pca.components : pca.components + 2;
    const products = vectors * map.channels * computed;
    if (products > limits.maxReduceProducts) {
      throw new ServeError(
        'too_large',
        `pca: ${vectors} vectors of length ${map.channels} to ${pca.components} components (${computed} are computed) are ${products} products, ` +
          `${overLimit(limits, 'maxReduceProducts')}; ask for fewer components, a region, or a smaller size (resize)`,
      );
    }
    if (!('basis' in pca)) bytes += wireBytes(pca.components + 1, map.channels, 'float32');
  }
  const enlarged = upsampled ? bytesOfMap(cells ? { rows: 1, columns: cells.length } : usedGrid, map.channels) : 0;
  const mapBytes = bytesOfMap(grid, map.channels) + enlarged;
  return {
    ...map,
    grid,
    usedGrid,
    vectors,
    dimensions,
    bytes,
    mapBytes,
    ...(upsampled && { upsampled }),
    ...(window && { window }),
  };
}

/**
 * The maps of a plan for one image.
 * @throws ServeError or FeatureOpError naming the field that is invalid for the image.
 */
export function planMaps(context: ServeContext, plan: FeaturePlan, image: PreparedImage): readonly PlannedMap[] {
  const maps = plan.maps.map((map) => planMap(plan, map, image, context.limits));
  if (plan.upsampling || plan.tiling) checkMapBytes(maps, plan, context.limits);
  return maps;
}

/**
 * Checks the maps that a request alone makes in memory. Maps as the network computes them from one input are bounded by its size;
 * enlarged and merged ones are not.
 * @throws ServeError `too_large`
 */
function checkMapBytes(maps: readonly PlannedMap[], { upsampling }: FeaturePlan, limits: ServeLimits): void {
  const bytes = maps.reduce((sum, map) => sum + map.mapBytes, 0);
  if (bytes <= limits.mapBytes) return;
  const sizes = maps.map(
    ({ usedGrid, channels }) => `${usedGrid.rows} x ${usedGrid.columns} cells of ${channels} channels`,
  );
  const ways = ['a region', 'a smaller size (resize)', ...(maps.length > 1 ? ['fewer stages'] : [])];
  throw new ServeError(
    'too_large',
    `${upsampling ? 'upsample' : 'tiles'}: maps with ${sizes.join(', ')} are ${bytes} bytes in float32, ` +
      `${overLimit(limits, 'mapBytes')}; ask for ${[...(upsampling ? ['a smaller size of upsample'] : []), ...ways].join(', or ')}`,
  );
}
