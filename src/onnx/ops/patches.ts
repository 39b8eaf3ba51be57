import { tensor } from '../../tensor/tensor.js';
import type { Value } from '../graph.js';
import { GraphError, staticShape } from '../shapes.js';
import { gather } from './indexing.js';
import { concat, pad, reshape, slice, transpose } from './shape.js';

/**
 * Patches of channels-last maps as rows (im2col), in which channels are contiguous: C numbers are copied at a time. Three
 * functions, by what the patches have in common: windows anywhere, all windows that one row of a kernel sees, and tiles
 * that do not overlap, which need no indices.
 */

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

/** Row of each window's cells in a table of all cells; the row past the last means zeros. */
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
 * Windows as rows, cell by cell and channel by channel within a window:
 * x [N, H, W, C] -> [N * rows * columns, size * size * C].
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
  return reshape(gather(cells, indices, 0), [count, size * size * channels]);
}

/**
 * Windows of a kernel that is not necessarily square, one row of the kernel at a time. All rows at once (`patches`) take as
 * many times the memory, and a table of every window's cells.
 * @param kernel height and width in cells.
 * @returns by the kernel's row: x [N, H, W, C] -> [N * rows * columns, width * C].
 */
export function kernelRowPatches(
  x: Value,
  [kernelHeight, kernelWidth]: readonly [number, number],
  { stride, dilation, padding, rows, columns }: Omit<Windows, 'size'>,
): (row: number) => Value {
  const [images, height, width, channels] = staticShape(x.shape, 'patches') as [number, number, number, number];
  // Room for the last window, and none for cells that no window sees.
  const after = (size: number, cells: number, kernel: number) =>
    Math.max(0, (cells - 1) * stride + (kernel - 1) * dilation + 1 - size - padding);
  const padded = pad(
    x,
    [0, padding, padding, 0],
    [0, after(height, rows, kernelHeight), after(width, columns, kernelWidth), 0],
  );
  const windowColumns = x.graph.integers(
    Array.from({ length: columns * kernelWidth }, (_, at) => {
      const [column, j] = [Math.floor(at / kernelWidth), at % kernelWidth];
      return column * stride + j * dilation;
    }),
  );
  return (row) => {
    const start = row * dilation;
    const seen = slice(padded, [{ axis: 1, start, end: start + (rows - 1) * stride + 1, step: stride }]);
    const windows = gather(seen, windowColumns, 2); // [N, rows, columns * width, C]
    return reshape(windows, [images * rows * columns, kernelWidth * channels]);
  };
}

/**
 * Tiles of size x size cells that do not overlap, cell by cell and channel by channel; the remainder at the right and
 * at the bottom is in no tile: x [N, H, W, C] -> [N, floor(H / size), floor(W / size), size * size * C].
 */
export function tiles(x: Value, size: number): Value {
  const [images, height, width, channels] = staticShape(x.shape, 'tiles') as [number, number, number, number];
  const rows = Math.floor(height / size);
  const columns = Math.floor(width / size);
  const covered = slice(x, [
    { axis: 1, start: 0, end: rows * size },
    { axis: 2, start: 0, end: columns * size },
  ]);
  const split = reshape(covered, [images, rows, size, columns, size, channels]);
  return reshape(transpose(split, [0, 1, 3, 2, 4, 5]), [images, rows, columns, size * size * channels]);
}
