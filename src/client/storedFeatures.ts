import type { StoreFeaturesRequest } from '../proto/generated/vicregl/v1/StoreFeaturesRequest.js';
import type { StoreFeaturesResponse__Output } from '../proto/generated/vicregl/v1/StoreFeaturesResponse.js';
import { type Grid, readGrid } from './grid.js';
import { type ImageInput, imageMessage } from './image.js';
import { type ModelId, readModelId } from './model.js';
import type { StoreOptions } from './options.js';
import { localSpaces, protocolName } from './protocolNames.js';
import { uint32 } from './uint32.js';

/** Local vectors that the server stores. */
export interface StoredFeatures {
  /** Reference for `match` and `matchMany`; the same image and options give the same reference. */
  readonly featureRef: string;
  readonly grid: Grid;
  readonly model: ModelId;
  /** Seconds for which they are stored after their last use. */
  readonly ttlSeconds: number;
  /** Whether they were stored already. */
  readonly alreadyStored: boolean;
}

/** @throws VicreglError `INVALID_ARGUMENT` for a number that is not a uint32, and as `protocolName`. */
export function storeMessage(image: ImageInput, { model = '', space, ttlSeconds }: StoreOptions): StoreFeaturesRequest {
  return {
    model,
    image: imageMessage(image, 'image'),
    ...(space !== undefined && { space: protocolName('space', localSpaces, space) }),
    ...(ttlSeconds !== undefined && { ttlSeconds: uint32('ttlSeconds', ttlSeconds) }),
  };
}

/** @throws VicreglError `INTERNAL` for an incomplete response. */
export function readStoredFeatures(message: StoreFeaturesResponse__Output): StoredFeatures {
  const { featureRef, ttlSeconds, alreadyStored } = message;
  return { featureRef, grid: readGrid(message.grid), model: readModelId(message.model), ttlSeconds, alreadyStored };
}
