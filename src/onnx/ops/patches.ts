import { tensor } from '../../tensor/tensor.js';
import { emitOne, type Value } from '../graph.js';
import { GraphError, staticShape } from '../shapes.js';
import { concat, reshape } from './shape.js';

/** Where the windows of a convolution lie on a map. */
export interface Windows {
  /** Side of a window in cells. */
  readonly size: number;
  readonly stride: number;
  readonly dilation: number;
  /** Cells of zeros above and to the left of the map. */
  readonly padding: number;
  /** Windows along both axes; those that reach past the map see zeros. */
  readonly rows: number;
  readonly columns: number;
}

/** Row of each window's cells in a table of all cells; the row past the last stands for zeros. */
function windowIndices(images: number, height: number, width: number, windows: Windows): BigInt64Array {
  const { size, stride, dilation, padding, rows, columns } = windows;
  const indices = new BigInt64Array(images * rows * columns * size * size);
  const zeros = images * height * width;
  let next = 0;
  for (let image = 0; image < images; image++) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        for (let i = 0; i < size; i++) {
          const y = row * stride + i * dilation - padding;
          for (let j = 0; j < size; j++) {
            const x = column * stride + j * dilation - padding;
            const inside = y >= 0 && y < height && x >= 0 && x < width;
            indices[next++] = BigInt(inside ? (image * height + y) * width + x : zeros);
          }
        }
      }
    }
  }
  return indices;
}

/**
 * Windows of channels-last maps as rows, cell by cell and channel by channel within a window (im2col):
 * x [N, H, W, C] -> [N * rows * columns, size * size * C]. A gather of whole cells, so that C numbers move at a time.
 */
export function patches(x: Value, windows: Windows): Value {
  const [images, height, width, channels] = staticShape(x.shape, 'patches') as [number, number, number, number];
  if (x.shape.length !== 4) throw new GraphError(`patches: [${x.shape.join(', ')}] must have four axes`);
  const { graph } = x;
  const { size, rows, columns } = windows;
  const count = images * rows * columns;
  const key = `patches:${images}x${height}x${width}:${Object.values(windows).join(',')}`;
  const indices = graph.shared(key, () =>
    tensor('int64', [count * size * size], windowIndices(images, height, width, windows)),
  );
  const zeros = graph.shared(`zeros:1x${channels}`, () => tensor('float32', [1, channels], new Float32Array(channels)));
  const cells = concat([reshape(x, [images * height * width, channels]), zeros], 0);
  const shape = [count * size * size, channels];
  const gathered = emitOne('Gather', [cells, indices], { dtype: x.dtype, shape }, { axis: 0 });
  return reshape(gathered, [count, size * size * channels]);
}
