import type { Graph, Value } from '../onnx/graph.js';
import { matmul } from '../onnx/ops/linear.js';
import { reshape, transpose } from '../onnx/ops/shape.js';
import { tensor } from '../tensor/tensor.js';

/**
 * A depthwise convolution as one matrix product per channel. On a small map every output cell of a channel is a linear
 * function of all its input cells, y = x T with T [cells, cells] filled from the kernel's taps. That is more
 * multiplications than the convolution needs (cells / taps times as many) but they run at the rate of a matrix product,
 * and so do both gradients. Forward and gradients on the CPU provider, as measured by scripts/bench/depthwise.ts
 * (docs/benchmarks.md), are faster than the convolution's by these factors: 7 to 14 on maps of 4 x 4 to 7 x 7, 4 to 7 on
 * 8 x 8 and 10 x 10, 2 to 3 on 14 x 14 and 16 x 16. The larger the batch and the more views share a kernel, the less it
 * costs to fill T.
 */

/** Selections by graph and map size; two layers of one size share theirs. */
const selections = new WeakMap<Graph, Map<string, Value>>();
/** T by kernel; two views share theirs. */
const matrices = new WeakMap<Value, Map<string, Value>>();

function cached<K extends object>(
  cache: WeakMap<K, Map<string, Value>>,
  owner: K,
  key: string,
  make: () => Value,
): Value {
  let known = cache.get(owner);
  if (known === undefined) {
    known = new Map();
    cache.set(owner, known);
  }
  let value = known.get(key);
  if (value === undefined) {
    value = make();
    known.set(key, value);
  }
  return value;
}

/** 1 where tap k carries input cell p to output cell q: [taps, cells * cells]. */
function tapSelection(graph: Graph, rows: number, columns: number, size: number): Value {
  const cells = rows * columns;
  const reach = (size - 1) / 2;
  const data = new Float32Array(size * size * cells * cells);
  for (let outRow = 0; outRow < rows; outRow++) {
    for (let outColumn = 0; outColumn < columns; outColumn++) {
      for (let i = 0; i < size; i++) {
        for (let j = 0; j < size; j++) {
          const row = outRow + i - reach;
          const column = outColumn + j - reach;
          if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
          const input = row * columns + column;
          const output = outRow * columns + outColumn;
          data[((i * size + j) * cells + input) * cells + output] = 1;
        }
      }
    }
  }
  return graph.constant(tensor('float32', [size * size, cells * cells], data));
}

/** x [B, H, W, C] and weight [C, 1, size, size] -> [B, H, W, C]; static shapes, stride 1, same size, no bias. */
export function depthwiseProduct(x: Value, weight: Value): Value {
  const { graph } = x;
  const [batch, rows, columns, channels] = x.shape as readonly [number, number, number, number];
  const size = weight.shape[2] as number;
  const cells = rows * columns;
  const matrix = cached(matrices, weight, `${rows}x${columns}`, () => {
    const selection = cached(selections, graph, `${rows}x${columns}:${size}`, () =>
      tapSelection(graph, rows, columns, size),
    );
    return reshape(matmul(reshape(weight, [channels, size * size]), selection), [channels, cells, cells]);
  });
  const planes = reshape(transpose(x, [3, 0, 1, 2]), [channels, batch, cells]);
  return transpose(reshape(matmul(planes, matrix), [channels, batch, rows, columns]), [1, 2, 3, 0]);
}
