import type { Grid } from '../../../image/geometry.js';
import type { SentFeatures__Output } from '../../../proto/generated/vicregl/v1/SentFeatures.js';
import type { Tensor__Output } from '../../../proto/generated/vicregl/v1/Tensor.js';
import { float16ToFloat32 } from '../../../tensor/float16.js';
import { forEachSlice, runInSlices } from '../../../tensor/slices.js';
import {
  checkByteLength,
  type DType,
  type DTypeArray,
  elementBytes,
  elementCount,
  type Tensor,
  tensor,
  tensorFromBytes,
} from '../../../tensor/tensor.js';
import { invalid } from './fields.js';

/** Fills `values` with whole vectors of a tensor, starting at `firstVector`. */
type WriteVectors = (values: Float32Array, firstVector: number) => void;

/**
 * Checks dtype and shape of a tensor against its number of bytes, without reading its elements.
 * @throws ServeError for its dtype, RangeError for the number of bytes.
 */
function writerOf({ dtype, shape, data, scales }: Tensor__Output): WriteVectors {
  const channels = shape.at(-1) ?? 1;
  switch (dtype) {
    case 'DATA_TYPE_FLOAT32':
      checkByteLength('float32', shape, data);
      return (values, first) => values.set(part('float32', data, first * channels, values.length));
    case 'DATA_TYPE_FLOAT16':
      checkByteLength('float16', shape, data);
      return (values, first) => float16ToFloat32(part('float16', data, first * channels, values.length), values);
    case 'DATA_TYPE_INT8':
      checkByteLength('int8', shape, data);
      checkByteLength('float32', [elementCount(shape) / channels], scales);
      return (values, first) => {
        const elements = part('int8', data, first * channels, values.length);
        const each = part('float32', scales, first, values.length / channels);
        scaleEach(elements, each, channels, values);
      };
    default:
      throw invalid('dtype must be FLOAT32, FLOAT16 or INT8');
  }
}

/** Dequantises int8 elements: each times the scale of its vector. */
function scaleEach(elements: Int8Array, scales: Float32Array, channels: number, values: Float32Array): void {
  for (let vector = 0; vector < scales.length; vector++) {
    const scale = scales[vector]!;
    for (let k = vector * channels; k < (vector + 1) * channels; k++) values[k] = elements[k]! * scale;
  }
}

/** Index of the first element that is not finite, or -1. */
function firstNotFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}

/** `count` elements of a tensor's bytes, from element `first`. */
function part<D extends DType>(dtype: D, bytes: Uint8Array, first: number, count: number): DTypeArray[D] {
  const width = elementBytes(dtype);
  return tensorFromBytes(dtype, [count], bytes.subarray(first * width, (first + count) * width)).data;
}

/** Reads a tensor in slices. @throws ServeError `invalid_argument` at the first element that is not finite. */
function* readSteps(write: WriteVectors, shape: readonly number[], field: string): Generator<void, Tensor<'float32'>> {
  const channels = shape.at(-1) ?? 1;
  const values = new Float32Array(elementCount(shape));
  yield* forEachSlice(values.length / channels, channels, (first, end) => {
    const slice = values.subarray(first * channels, end * channels);
    write(slice, first);
    const bad = firstNotFinite(slice);
    if (bad >= 0) throw invalid(`${field}: element ${first * channels + bad} is ${slice[bad]}; all must be finite`);
  });
  return tensor('float32', shape, values);
}

/** Local vectors in a request. */
export interface SentVectors {
  readonly grid: Grid;
  /** Length of a vector. */
  readonly channels: number;
  /**
   * Reads the vectors, [rows, columns, C], large ones in slices of a few milliseconds.
   * @throws ServeError `invalid_argument` naming the field and the first element that is not finite, or the signal's reason
   *   soon after it is aborted.
   */
  read(signal: AbortSignal): Promise<Tensor<'float32'>>;
}

/**
 * Checks grid, dtype and shape of the vectors in a request. Their elements, which may fill a whole message, are only read by
 * `read`.
 * @param channels length of the vectors of the request's space
 * @param stageChannels lengths of the vectors of the model's stages, which are allowed too
 * @throws ServeError `invalid_argument` naming the field.
 */
export function readSentFeatures(
  { features, grid }: SentFeatures__Output,
  field: string,
  channels: number,
  stageChannels: readonly number[] = [],
): SentVectors {
  if (features === null) throw invalid(`${field}.features: missing`);
  if (!grid?.cellToPixel)
    throw invalid(`${field}.grid: missing, or without cell_to_pixel; send the grid that ExtractFeatures returned`);
  const { shape } = features;
  const last = shape[2];
  const expected = [grid.rows, grid.columns, last !== undefined && stageChannels.includes(last) ? last : channels];
  if (shape.length !== 3 || shape.some((dim, i) => dim !== expected[i]) || elementCount(shape) === 0) {
    throw invalid(
      `${field}.features.shape: [${shape.slice(0, 8).join(', ')}] is not [rows, columns, C] = [${expected.join(', ')}] of the grid ` +
        'and of the model in this space',
    );
  }
  const { scaleX, scaleY, offsetX, offsetY } = grid.cellToPixel;
  if (![scaleX, scaleY, offsetX, offsetY].every(Number.isFinite)) {
    throw invalid(`${field}.grid.cell_to_pixel: must be finite`);
  }
  let write: WriteVectors;
  try {
    write = writerOf(features);
  } catch (cause) {
    throw invalid(`${field}.features: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  const { originalWidth: width, originalHeight: height } = grid;
  return {
    channels: expected[2]!,
    read: (signal) => runInSlices(readSteps(write, shape, `${field}.features`), signal),
    grid: {
      rows: grid.rows,
      columns: grid.columns,
      stride: Math.max(1, grid.stride),
      cellToPixel: { scaleX, scaleY, offsetX, offsetY },
      ...(width > 0 && height > 0 && { original: { width, height } }),
    },
  };
}
