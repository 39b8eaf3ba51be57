import { bilinearTap } from '../../tensor/bilinearTap.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import { emitOne, type Value } from '../graph.js';
import { formatShape, GraphError } from '../shapes.js';
import { matmul } from './linear.js';
import { reshape } from './shape.js';

/**
 * Bilinear interpolation of maps, with the positions of PyTorch's `interpolate(mode='bilinear', align_corners=False)`: cell
 * centres lie at (i + 1/2) / cells of the map, and positions outside the outermost centres take the outermost cells.
 */

/**
 * The interpolation along one axis as a matrix, row-major [to, from]: output = matrix x input. Every row sums to 1.
 * @param from cells of the input, at least 1
 * @param to cells of the output, at least 1
 */
export function bilinearMatrix(from: number, to: number): Float64Array {
  const matrix = new Float64Array(to * from);
  for (let i = 0; i < to; i++) {
    const { low, high, weight } = bilinearTap(i, from, to);
    matrix[i * from + low]! += 1 - weight;
    matrix[i * from + high]! += weight;
  }
  return matrix;
}

function matrixConstant(x: Value, from: number, to: number): Value {
  return x.graph.shared(
    `bilinear:${from}:${to}`,
    (): Tensor => tensor('float32', [to, from], Float32Array.from(bilinearMatrix(from, to))),
  );
}

/**
 * Resizes static maps by two products with constant matrices, whose gradients are products too:
 * [B, h, w, C] -> [B, rows, columns, C].
 * @throws GraphError for a value that is no static map of float32.
 */
export function resizeBilinear(x: Value, rows: number, columns: number): Value {
  const [batch, height, width, channels] = x.shape as readonly [number, number, number, number];
  if (x.dtype !== 'float32' || x.shape.length !== 4 || x.shape.some((dim) => typeof dim === 'string')) {
    throw new GraphError(
      `resizeBilinear: ${x.dtype} ${formatShape(x.shape)} must be a static float32 map [B, h, w, C]`,
    );
  }
  // The columns first: the second product is then one Gemm for each image.
  const wide = width === columns ? x : matmul(matrixConstant(x, width, columns), x);
  if (height === rows) return wide;
  const lines = reshape(wide, [batch, height, columns * channels]);
  return reshape(matmul(matrixConstant(x, height, rows), lines), [batch, rows, columns, channels]);
}

/**
 * Enlarges maps of any size by a whole factor: [B, C, h, w] -> [B, C, h * factor, w * factor]. For inference: ONNX's Resize,
 * which takes dynamic sizes and has no gradient here. The value itself for factor 1.
 * @param names of the output's height and width where they are dynamic and equal those of another value.
 */
export function enlargeBilinear(x: Value, factor: number, names?: readonly [string, string]): Value {
  if (!Number.isSafeInteger(factor) || factor < 1 || x.shape.length !== 4) {
    throw new GraphError(
      `Resize: factor ${factor} of ${formatShape(x.shape)}; give a whole factor and a map [B, C, h, w]`,
    );
  }
  if (factor === 1) return x;
  const larger = (dim: number | string) => (typeof dim === 'number' ? dim * factor : `${dim}*${factor}`);
  const [batch, channels, height, width] = x.shape as [number | string, number, number | string, number | string];
  const scales = x.graph.shared(`scales:${factor}`, () =>
    tensor('float32', [4], Float32Array.of(1, 1, factor, factor)),
  );
  return emitOne(
    'Resize',
    [x, undefined, scales],
    { dtype: x.dtype, shape: [batch, channels, ...(names ?? [larger(height), larger(width)])] },
    { mode: 'linear', coordinate_transformation_mode: 'half_pixel' },
  );
}
