import type { Graph, Value } from '../onnx/graph.js';
import { differentiateBy } from '../onnx/ops/differentiation.js';
import { matmul } from '../onnx/ops/linear.js';
import { matrixTranspose, reshape, transpose } from '../onnx/ops/shape.js';
import { tensor } from '../tensor/tensor.js';

/**
 * A depthwise convolution as one matrix product per channel: every output cell of a channel is a linear function of all
 * its input cells, y = x T, with T [cells, cells] filled from the kernel's taps. That takes cells / taps times as many
 * multiplications as the convolution, but at the speed of a matrix product, and so do both gradients. T is filled once
 * for all images, so the form is faster on small maps and for many images: forward and gradients take a fifth of the
 * convolution's time on 7 x 7 cells of 16 images, and half of it on 14 x 14 cells of 32 (scripts/bench/depthwise.ts,
 * docs/benchmarks.md). onnx/convolutionForms.ts decides where it is used.
 */

/** Selection constants by graph and map size; layers of one size share them. */
const selections = new WeakMap<Graph, Map<string, Value>>();
/** T by kernel; the views of one size share it. */
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

/** 1 where tap k carries input cell p to output cell q: [taps, p * q], or [taps, q * p] when transposed. */
function tapSelection(graph: Graph, rows: number, columns: number, size: number, transposed: boolean): Value {
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
          const [from, to] = transposed ? [output, input] : [input, output];
          data[((i * size + j) * cells + from) * cells + to] = 1;
        }
      }
    }
  }
  return graph.constant(tensor('float32', [size * size, cells * cells], data));
}

/** T [C, cells, cells] of a kernel, or its transpose, which maps the output's gradient to the input's. */
function productMatrix(weight: Value, rows: number, columns: number, transposed: boolean): Value {
  const { graph } = weight;
  const [channels, , size] = weight.shape as readonly [number, number, number];
  const cells = rows * columns;
  const key = `${rows}x${columns}:${transposed}`;
  return cached(matrices, weight, key, () => {
    const selection = cached(selections, graph, `${key}:${size}`, () =>
      tapSelection(graph, rows, columns, size, transposed),
    );
    return reshape(matmul(reshape(weight, [channels, size * size]), selection), [channels, cells, cells]);
  });
}

/**
 * x [B, H, W, C] and weight [C, 1, size, size] -> [B, H, W, C]; static shapes, stride 1, same size, no bias.
 *
 * The gradient to x builds the transpose of T again, so that T, of cells^2 elements per channel, is not kept in memory until
 * then.
 */
export function depthwiseProduct(x: Value, weight: Value): Value {
  const [batch, rows, columns, channels] = x.shape as readonly [number, number, number, number];
  const size = weight.shape[2] as number;
  const cells = rows * columns;
  const toPlanes = (maps: Value) => reshape(transpose(maps, [3, 0, 1, 2]), [channels, batch, cells]);
  const toMaps = (planes: Value) => transpose(reshape(planes, [channels, batch, rows, columns]), [1, 2, 3, 0]);
  const planes = toPlanes(x);
  const y = toMaps(matmul(planes, productMatrix(weight, rows, columns, false)));
  const toInput = (gy: Value) => toMaps(matmul(toPlanes(gy), productMatrix(weight, rows, columns, true)));
  const toWeight = (gy: Value) => {
    const products = reshape(matmul(matrixTranspose(planes), toPlanes(gy)), [channels, cells * cells]);
    const selection = cached(selections, weight.graph, `${rows}x${columns}:false:${size}`, () =>
      tapSelection(weight.graph, rows, columns, size, false),
    );
    return reshape(matmul(products, matrixTranspose(selection)), weight.shape as readonly number[]);
  };
  return differentiateBy(differentiateBy(y, x, toInput), weight, toWeight);
}
