import { checkReduction, type Reduction } from '../../../featureOps/reduce.js';
import { checkCells, type Window, windowGrid, windowUnder } from '../../../featureOps/selectCells.js';
import { type Grid, gridOf } from '../../../image/geometry.js';
import type { Box, PreparedImage } from '../../../image/types.js';
import type { Cell__Output } from '../../../proto/generated/vicregl/v1/Cell.js';
import type { ExtractFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { PoolingRegion__Output } from '../../../proto/generated/vicregl/v1/PoolingRegion.js';
import { ServeError } from '../../call/serveError.js';
import { overLimit, type ServeLimits } from '../../config/serveLimits.js';
import type { ServeContext } from '../context.js';
import { checkCount, inField, invalid } from '../wire/fields.js';
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
}

/** One map of a plan for a known image. */
export interface PlannedMap extends RequestedMap {
  /** The whole map. */
  readonly grid: Grid;
  /** The cells that are sent or pooled. Absent: all. */
  readonly window?: Window;
  /** The grid of those cells. */
  readonly usedGrid: Grid;
  /** Number of vectors in the response. */
  readonly vectors: number;
  /** Length of each vector. */
  readonly dimensions: number;
  /** Bytes in the response. */
  readonly bytes: number;
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
  const reduction = pca ? readPca(pca, limits) : undefined;
  if (reduction && 'basis' in reduction && maps.length > 1) {
    throw invalid('pca.basis: several stages have different vectors; ask for one stage at a time');
  }
  return {
    maps,
    dtype: readDType(request.dtype),
    l2Normalize,
    ...(region && { region: readBox(region, 'region') }),
    ...(cells && { cells: cells.cells }),
    ...(pooling && { regions: pooling.regions }),
    ...(reduction && { pca: reduction }),
  };
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
  const { region, cells } = plan;
  const window = region && withField('region', () => windowUnder(grid, region));
  const usedGrid = window ? windowGrid(grid, window) : grid;
  const vectors = plan.regions?.length ?? plan.cells?.length ?? usedGrid.rows * usedGrid.columns;
  const dimensions = plan.pca?.components ?? map.channels;
  if (cells) withField('cells.cells', () => checkCells(usedGrid, cells));
  let bytes = wireBytes(vectors, dimensions, plan.dtype);
  const { pca } = plan;
  if (pca) {
    withField('pca', () => checkReduction(pca, vectors, map.channels));
    const products = vectors * map.channels * pca.components;
    if (products > limits.maxReduceProducts) {
      throw new ServeError(
        'too_large',
        `pca: ${vectors} vectors of length ${map.channels} to ${pca.components} components are ${products} products, ` +
          `${overLimit(limits, 'maxReduceProducts')}; ask for fewer components, a region, or a smaller size (resize)`,
      );
    }
    if (!('basis' in pca)) bytes += wireBytes(pca.components + 1, map.channels, 'float32');
  }
  return { ...map, grid, usedGrid, vectors, dimensions, bytes, ...(window && { window }) };
}

/**
 * The maps of a plan for one image.
 * @throws ServeError or FeatureOpError naming the field that is invalid for the image.
 */
export function planMaps(context: ServeContext, plan: FeaturePlan, image: PreparedImage): readonly PlannedMap[] {
  return plan.maps.map((map) => planMap(plan, map, image, context.limits));
}
