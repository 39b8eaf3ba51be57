import type { SentFeatures__Output } from '../../proto/generated/vicregl/v1/SentFeatures.js';
import type { Tensor__Output } from '../../proto/generated/vicregl/v1/Tensor.js';
import { float16ToFloat32 } from '../../tensor/float16.js';
import { elementCount, type Tensor, tensor, tensorFromBytes } from '../../tensor/tensor.js';
import { ServeError } from '../serveError.js';
import type { CellGrid } from './grid.js';

function invalid(message: string): ServeError {
  return new ServeError('invalid_argument', message);
}

function numbers({ dtype, shape, data, scales }: Tensor__Output): Float32Array {
  switch (dtype) {
    case 'DATA_TYPE_FLOAT32':
      return tensorFromBytes('float32', shape, data).data;
    case 'DATA_TYPE_FLOAT16':
      return float16ToFloat32(tensorFromBytes('float16', shape, data).data);
    case 'DATA_TYPE_INT8': {
      const elements = tensorFromBytes('int8', shape, data).data;
      const channels = shape.at(-1) ?? 1;
      const each = tensorFromBytes('float32', [elements.length / channels], scales).data;
      return Float32Array.from(elements, (value, i) => value * each[Math.floor(i / channels)]!);
    }
    default:
      throw invalid('dtype must be FLOAT32, FLOAT16 or INT8');
  }
}

/**
 * Local vectors that a caller sent, [rows, columns, C], and their grid.
 * @param channels that they must have
 * @throws ServeError `invalid_argument` naming the field.
 */
export function readSentFeatures(
  { features, grid }: SentFeatures__Output,
  field: string,
  channels: number,
): { readonly maps: Tensor<'float32'>; readonly grid: CellGrid } {
  if (features === null) throw invalid(`${field}.features: missing`);
  if (!grid?.cellToPixel)
    throw invalid(`${field}.grid: missing, or without cell_to_pixel; send what ExtractFeatures gave`);
  const { shape } = features;
  const expected = [grid.rows, grid.columns, channels];
  if (shape.length !== 3 || shape.some((dim, i) => dim !== expected[i]) || elementCount(shape) === 0) {
    throw invalid(
      `${field}.features.shape: [${shape.join(', ')}] is not [rows, columns, C] = [${expected.join(', ')}] of the grid ` +
        'and of the model in this space',
    );
  }
  const { scaleX, scaleY, offsetX, offsetY } = grid.cellToPixel;
  if (![scaleX, scaleY, offsetX, offsetY].every(Number.isFinite)) {
    throw invalid(`${field}.grid.cell_to_pixel: must be finite`);
  }
  let data: Float32Array;
  try {
    data = numbers(features);
  } catch (cause) {
    throw new ServeError('invalid_argument', `${field}.features: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
  const bad = data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw invalid(`${field}.features: element ${bad} is ${data[bad]}; all must be finite`);
  const stride = Math.max(1, grid.stride);
  const { originalWidth: width, originalHeight: height } = grid;
  return {
    maps: tensor('float32', shape, data),
    grid: {
      rows: grid.rows,
      cols: grid.columns,
      stride,
      toOriginal: { scaleX: scaleX / stride, scaleY: scaleY / stride, offsetX, offsetY },
      ...(width > 0 && height > 0 && { original: { width, height } }),
    },
  };
}
