import type { StoreFeaturesRequest } from '../proto/generated/vicregl/v1/StoreFeaturesRequest.js';
import type { StoreFeaturesResponse__Output } from '../proto/generated/vicregl/v1/StoreFeaturesResponse.js';
import { type Grid, readGrid } from './grid.js';
import { type ImageInput, imageMessage } from './image.js';
import { type ModelId, readModelId } from './model.js';
import { localSpaces, type StoreOptions } from './options.js';
import { uint32 } from './uint32.js';

/** Local vectors stored on the server. */
export interface StoredFeatures {
  /** Refers to them in `match` and `matchMany`; the same image and options give the same reference. */
  readonly featureRef: string;
  readonly grid: Grid;
  readonly model: ModelId;
  /** How long they are kept after their last use, in seconds. */
  readonly ttlSeconds: number;
  /** Whether they were already stored. */
  readonly alreadyStored: boolean;
}

/** @throws VicreglError `INVALID_ARGUMENT` for a number that is not a uint32. */
export function storeMessage(image: ImageInput, { model = '', space, ttlSeconds }: StoreOptions): StoreFeaturesRequest {
  return {
    model,
    image: imageMessage(image, 'image'),
    ...(space && { space: localSpaces[space] }),
    ...(ttlSeconds !== undefined && { ttlSeconds: uint32('ttlSeconds', ttlSeconds) }),
  };
}

/** @throws VicreglError `INTERNAL` for an incomplete response. */
export function readStoredFeatures(message: StoreFeaturesResponse__Output): StoredFeatures {
  const { featureRef, ttlSeconds, alreadyStored } = message;
  return { featureRef, grid: readGrid(message.grid), model: readModelId(message.model), ttlSeconds, alreadyStored };
}
