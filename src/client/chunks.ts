import type { ExtractFeaturesChunk__Output } from '../proto/generated/vicregl/v1/ExtractFeaturesChunk.js';
import type { ExtractFeaturesResponse__Output } from '../proto/generated/vicregl/v1/ExtractFeaturesResponse.js';
import type { Tensor__Output } from '../proto/generated/vicregl/v1/Tensor.js';
import { VicreglError } from './vicreglError.js';

const elementBytes: Readonly<Partial<Record<Tensor__Output['dtype'], number>>> = {
  DATA_TYPE_FLOAT32: 4,
  DATA_TYPE_FLOAT16: 2,
  DATA_TYPE_INT8: 1,
};

const SCALE_BYTES = 4;

/** A tensor that is being assembled. */
interface Filling {
  readonly tensor: Tensor__Output;
  /** Bytes of one vector. */
  readonly stride: number;
  readonly vectors: number;
  /** Number of vectors received so far. */
  filled: number;
}

function broken(message: string): VicreglError {
  return new VicreglError('INTERNAL', `the chunked response is inconsistent: ${message}`);
}

function makeRoom(tensor: Tensor__Output | null): Filling {
  const bytes = tensor ? elementBytes[tensor.dtype] : undefined;
  if (tensor === null || bytes === undefined) throw broken('the header has no tensor that this client supports');
  const vectors = tensor.shape.slice(0, -1).reduce((product, length) => product * length, 1);
  const stride = (tensor.shape.at(-1) ?? 0) * bytes;
  tensor.data = Buffer.alloc(vectors * stride);
  if (tensor.dtype === 'DATA_TYPE_INT8') tensor.scales = Buffer.alloc(vectors * SCALE_BYTES);
  return { tensor, stride, vectors, filled: 0 };
}

function tensorsOf({ maps, features }: ExtractFeaturesResponse__Output): (Tensor__Output | null)[] {
  return maps.length > 0 ? maps.map((map) => map.features) : [features];
}

/**
 * Assembles a chunked response: fills the tensors of the header with the blocks.
 * @throws VicreglError `INTERNAL` if a block is missing or does not fit.
 */
export async function joinChunks(
  chunks: AsyncIterable<ExtractFeaturesChunk__Output>,
): Promise<ExtractFeaturesResponse__Output> {
  let response: ExtractFeaturesResponse__Output | undefined;
  let room: Filling[] = [];
  for await (const { header, block } of chunks) {
    if (header) {
      response = header;
      room = tensorsOf(header).map(makeRoom);
      continue;
    }
    const filling = room[block?.map ?? -1];
    if (!block || !filling) throw broken('a block does not belong to any tensor');
    const count = block.data.byteLength / filling.stride;
    if (block.firstVector !== filling.filled || filling.filled + count > filling.vectors) {
      throw broken(`expected vector ${filling.filled} next, received ${block.firstVector}`);
    }
    block.data.copy(filling.tensor.data, block.firstVector * filling.stride);
    block.scales.copy(filling.tensor.scales, block.firstVector * SCALE_BYTES);
    filling.filled += count;
  }
  if (!response) throw broken('the header is missing');
  for (const { filled, vectors } of room) if (filled < vectors) throw broken(`${vectors - filled} vectors are missing`);
  return response;
}
