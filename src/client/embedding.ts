import type { EmbedRequest } from '../proto/generated/vicregl/v1/EmbedRequest.js';
import type { EmbedResponse__Output } from '../proto/generated/vicregl/v1/EmbedResponse.js';
import { bool } from './bool.js';
import { type ImageInput, imageMessage } from './image.js';
import { type ModelId, readModelId } from './model.js';
import type { EmbedFields } from './options.js';
import { dataTypes, globalSpaces, protocolName } from './protocolNames.js';
import { float32Of, type ReceivedTensor, readTensor } from './tensor.js';

/** The global vector of one image. */
export interface Embedding {
  readonly vector: Float32Array;
  /** The tensor as received. */
  readonly tensor: ReceivedTensor;
  readonly model: ModelId;
}

/**
 * Builds the request for a global vector.
 * @throws VicreglError `INVALID_ARGUMENT` naming the field whose value does not fit its type in the message.
 */
export function embedMessage(image: ImageInput, options: EmbedFields, field = 'image'): EmbedRequest {
  const { model = '', space = 'backbone', l2Normalize = false, dtype = 'float32' } = options;
  return {
    model,
    image: imageMessage(image, field),
    space: protocolName('space', globalSpaces, space),
    l2Normalize: bool('l2Normalize', l2Normalize),
    dtype: protocolName('dtype', dataTypes, dtype),
  };
}

/** @throws VicreglError `INTERNAL` for an incomplete response. */
export function readEmbedding(response: EmbedResponse__Output): Embedding {
  const tensor = readTensor(response.embedding);
  return { vector: float32Of(tensor), tensor, model: readModelId(response.model) };
}
