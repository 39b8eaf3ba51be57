import type { ExtractFeaturesRequest } from '../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { ExtractFeaturesResponse__Output } from '../proto/generated/vicregl/v1/ExtractFeaturesResponse.js';
import type { FeatureMap__Output } from '../proto/generated/vicregl/v1/FeatureMap.js';
import { bool } from './bool.js';
import { type Grid, readGrid } from './grid.js';
import { type ImageInput, imageMessage } from './image.js';
import { type ModelId, readModelId } from './model.js';
import { type FeatureFields, tilesMessage, upsampleMessage } from './options.js';
import { type PcaResult, pcaMessage, readPca } from './pca.js';
import { dataTypes, localSpaces, protocolName } from './protocolNames.js';
import { regionMessage } from './regions.js';
import { float32Of, type ReceivedTensor, readTensor } from './tensor.js';
import { uint32Fields, uint32List } from './uint32.js';
import { VicreglError } from './vicreglError.js';

/** The vectors of one map. */
export interface FeatureMap {
  /** 0 for the map of the space, else the number of the stage. */
  readonly stage: number;
  /** The vectors, row-major. */
  readonly data: Float32Array;
  /** [rows, columns, channels]; with `cells` or `pooling` [vectors, channels]. */
  readonly shape: readonly number[];
  readonly grid: Grid;
  /** The tensor as received. */
  readonly tensor: ReceivedTensor;
  /** With `pooling`: the fraction of each region's area that cells cover, 0 to 1. */
  readonly coverage?: readonly number[];
  /** With `pca`. */
  readonly pca?: PcaResult;
}

/** The local vectors of one image: its first map, and all maps if the request named stages. */
export interface Features extends FeatureMap {
  /** Every requested map, in the order of the request; the first is this one. */
  readonly maps: readonly FeatureMap[];
  readonly model: ModelId;
}

/**
 * A request for local vectors.
 * @throws VicreglError `INVALID_ARGUMENT` naming the field whose value does not fit its type in the message.
 */
export function featuresMessage(image: ImageInput, options: FeatureFields, field = 'image'): ExtractFeaturesRequest {
  const { model = '', space = 'backbone', l2Normalize = false, dtype = 'float32' } = options;
  const { region, cells, stages, pooling, pca, upsample, tiles } = options;
  if (region && cells)
    throw new VicreglError('INVALID_ARGUMENT', 'region and cells exclude each other; set one of them');
  return {
    model,
    image: imageMessage(image, field),
    space: protocolName('space', localSpaces, space),
    l2Normalize: bool('l2Normalize', l2Normalize),
    dtype: protocolName('dtype', dataTypes, dtype),
    ...(region && { region }),
    ...(cells && {
      cells: { cells: cells.map(({ row, column }, i) => uint32Fields(`cells[${i}]`, { row, column })) },
    }),
    ...(stages && { stages: uint32List('stages', stages) }),
    ...(pooling && { pooling: { regions: pooling.map((one, i) => regionMessage(one, `pooling[${i}]`)) } }),
    ...(pca && { pca: pcaMessage(pca) }),
    ...(upsample !== undefined && { upsample: upsampleMessage(upsample) }),
    ...(tiles && { tiles: tilesMessage(tiles) }),
  };
}

function readMap(message: Omit<FeatureMap__Output, 'stage'>, stage: number): FeatureMap {
  const tensor = readTensor(message.features);
  return {
    stage,
    data: float32Of(tensor),
    shape: tensor.shape,
    grid: readGrid(message.grid),
    tensor,
    ...(message.coverage.length > 0 && { coverage: message.coverage }),
    ...(message.pca && { pca: readPca(message.pca) }),
  };
}

/** @throws VicreglError `INTERNAL` for an incomplete response. */
export function readFeatures(response: ExtractFeaturesResponse__Output): Features {
  const maps = response.maps.length > 0 ? response.maps.map((map) => readMap(map, map.stage)) : [readMap(response, 0)];
  return { ...maps[0]!, maps, model: readModelId(response.model) };
}
