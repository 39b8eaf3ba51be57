import { headerLength, parseEntries, SafetensorsError } from '../tensor/safetensorsHeader.js';
import { tensor } from '../tensor/tensor.js';
import type { ByteSource } from './byteSource.js';
import { type Checkpoint, MAX_TENSOR_BYTES, type StoredTensor } from './checkpoint.js';
import { CheckpointFileError } from './checkpointFileError.js';
import { type ElementType, elementWidth, toFloat32 } from './elementTypes.js';

/** safetensors files of any writer, which may have more element types than our own files. Tensors are read one at a time. */

const typeCodes: Readonly<Record<string, ElementType>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  F8_E4M3: 'float8_e4m3fn',
  F8_E5M2: 'float8_e5m2',
  F8_E4M3FNUZ: 'float8_e4m3fnuz',
  F8_E5M2FNUZ: 'float8_e5m2fnuz',
  F8_E8M0: 'float8_e8m0fnu',
  F6_E2M3: 'float6_e2m3',
  F6_E3M2: 'float6_e3m2',
  F4: 'float4_e2m1',
  I64: 'int64',
  I32: 'int32',
  I16: 'int16',
  I8: 'int8',
  U64: 'uint64',
  U32: 'uint32',
  U16: 'uint16',
  U8: 'uint8',
  BOOL: 'bool',
  C64: 'complex64',
};
const dtypes = new Map(
  Object.entries(typeCodes).map(([code, type]) => [code, { dtype: type, width: elementWidth[type] }]),
);

/** Metadata entries with short, simple keys and values; others are dropped. */
function factsOf(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).filter(([key, text]) => /^\w{1,40}$/.test(key) && text.length <= 200),
  );
}

/** Opens a safetensors file. @throws CheckpointFileError for a malformed file. */
export async function openSafetensors(source: ByteSource): Promise<Checkpoint> {
  const { name: file, size } = source;
  try {
    const dataStart = 8 + headerLength(await source.read(0, Math.min(8, size)), size, file);
    const json = await source.read(8, dataStart - 8);
    const { metadata, places } = parseEntries(json, size - dataStart, file, dtypes);
    const tensors = new Map<string, StoredTensor>(
      [...places].map(([key, { dtype, shape }]) => [key, { type: dtype, shape }]),
    );
    return {
      format: 'safetensors',
      tensors,
      facts: factsOf(metadata),
      async read(key) {
        const place = places.get(key);
        if (place === undefined) throw new CheckpointFileError(`${file} contains no tensor "${key}"`);
        if (place.end - place.start > MAX_TENSOR_BYTES) {
          throw new CheckpointFileError(`${file}: "${key}" is larger than ${MAX_TENSOR_BYTES / 2 ** 30} GiB`);
        }
        const bytes = await source.read(dataStart + place.start, place.end - place.start);
        return tensor('float32', place.shape, toFloat32(place.dtype, bytes, file, key));
      },
    };
  } catch (error) {
    if (error instanceof SafetensorsError) throw new CheckpointFileError(error.message, { cause: error });
    throw error;
  }
}
