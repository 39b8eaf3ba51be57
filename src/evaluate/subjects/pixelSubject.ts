import type { ByOutput, OutputName } from '../../engine/engine.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import type { SubjectOutput, SubjectSource } from './subject.js';

/**
 * Raw pixels as features: the floor that a network must leave behind. The representation is the image averaged over
 * 16 x 16 equal areas. A map's cell holds its patch of the image, averaged over 8 x 8 areas at most.
 */

const PROVIDER = 'none';
/** Areas per side of the representation. */
const REPRESENTATION_SIDE = 16;
/** Areas per side of a cell, where its patch has as many pixels. */
const CELL_SIDE = 8;

/** Largest number of areas per side, at most `CELL_SIDE`, that divides the patch evenly. */
function cellSide(stride: number): number {
  for (let side = Math.min(CELL_SIDE, stride); side > 1; side--) if (stride % side === 0) return side;
  return 1;
}

/**
 * Averages of equal areas. uint8 [B, H, W, 3] -> float32 [B, rows, columns, 3], in 0..1, less the mean of all pixels of
 * ImageNet (0.45), so that cosine similarity is not dominated by brightness. Areas overlap by a pixel where sizes do not divide.
 */
function averaged({ shape, data }: Tensor<'uint8'>, rows: number, columns: number): Float32Array {
  const [batch, height, width] = shape as readonly [number, number, number, number];
  const result = new Float32Array(batch * rows * columns * 3);
  let at = 0;
  for (let b = 0; b < batch; b++) {
    for (let r = 0; r < rows; r++) {
      const [top, bottom] = [Math.floor((r * height) / rows), Math.ceil(((r + 1) * height) / rows)];
      for (let c = 0; c < columns; c++) {
        const [left, right] = [Math.floor((c * width) / columns), Math.ceil(((c + 1) * width) / columns)];
        let [red, green, blue] = [0, 0, 0];
        for (let y = top; y < bottom; y++) {
          let from = ((b * height + y) * width + left) * 3;
          for (let x = left; x < right; x++, from += 3) {
            red += data[from]!;
            green += data[from + 1]!;
            blue += data[from + 2]!;
          }
        }
        const scale = 1 / ((bottom - top) * (right - left) * 255);
        result[at++] = red * scale - 0.45;
        result[at++] = green * scale - 0.45;
        result[at++] = blue * scale - 0.45;
      }
    }
  }
  return result;
}

/** A map [B, H / stride, W / stride, side * side * 3] of patches. */
function patches(batch: Tensor<'uint8'>, stride: number): Tensor<'float32'> {
  const [count, height, width] = batch.shape as readonly [number, number, number, number];
  const side = cellSide(stride);
  const [rows, columns] = [Math.floor(height / stride), Math.floor(width / stride)];
  const areas = averaged(batch, rows * side, columns * side);
  const channels = side * side * 3;
  const result = new Float32Array(count * rows * columns * channels);
  const rowLength = columns * side * 3;
  for (let b = 0; b < count; b++) {
    for (let y = 0; y < rows * side; y++) {
      const from = (b * rows * side + y) * rowLength;
      const [row, inner] = [Math.floor(y / side), y % side];
      for (let column = 0; column < columns; column++) {
        const start = from + column * side * 3;
        const to = ((b * rows + row) * columns + column) * channels + inner * side * 3;
        result.set(areas.subarray(start, start + side * 3), to);
      }
    }
  }
  return tensor('float32', [count, rows, columns, channels], result);
}

/**
 * @param maps names of the maps to offer, with their strides in pixels; `maps` must be among them. They follow those of
 *   the model that pixels are compared with.
 */
export function pixelSubject(maps: ReadonlyMap<OutputName, number>): SubjectSource {
  const stride = maps.get('maps');
  if (stride === undefined) throw new RangeError('pixelSubject needs the stride of maps');
  const outputs = new Map<OutputName, SubjectOutput>([
    ['representation', { channels: REPRESENTATION_SIDE ** 2 * 3 }],
    ...[...maps].map(([name, each]): [OutputName, SubjectOutput] => [
      name,
      { channels: cellSide(each) ** 2 * 3, stride: each },
    ]),
  ]);
  return {
    stride,
    outputs,
    name: 'pixels',
    model: 'raw pixels',
    digest: `pixels ${JSON.stringify([...maps])}`,
    provider: PROVIDER,
    open: async () => ({
      stride,
      outputs,
      provider: PROVIDER,
      runs: 1,
      async run(batch, wants) {
        const found: ByOutput<Tensor<'float32'>> = {};
        for (const name of wants) {
          if (name === 'representation') {
            const side = REPRESENTATION_SIDE;
            found[name] = tensor('float32', [batch.shape[0]!, side ** 2 * 3], averaged(batch, side, side));
            continue;
          }
          const each = maps.get(name);
          if (each === undefined) throw new RangeError(`raw pixels have no output ${name}`);
          found[name] = patches(batch, each);
        }
        return found;
      },
      close: async () => undefined,
    }),
  };
}
