import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, numbers } from '../../../test/support/graphs.js';
import { elementCount, type Tensor } from '../../tensor/tensor.js';
import type { HalfType } from '../elementTypes.js';
import { gradients } from '../gradients.js';
import { Graph, type Value } from '../graph.js';
import { conv } from './convolution.js';
import { mul } from './elementwise.js';
import { gemm, linear, matmul } from './linear.js';
import { reduceSum } from './reduce.js';

/** Ones, of which the first half is multiplied by `first` and the second by `second`: [rows, K], or its transpose. */
function halves(rows: number, inner: number, [first, second]: readonly [number, number], transposed = false): Tensor {
  const at = (i: number) => ((transposed ? Math.floor(i / rows) : i % inner) < inner / 2 ? first : second);
  const shape = transposed ? [inner, rows] : [rows, inner];
  return floats(
    shape,
    Array.from({ length: rows * inner }, (_, i) => at(i)),
  );
}

const ones = (shape: readonly number[]) => floats(shape, Array<number>(elementCount(shape)).fill(1));

const inHalf = (build: (graph: Graph) => Value, graph: Graph, type: HalfType = 'float16') =>
  graph.productsIn(type, () => build(graph));

describe('products in float16 on the CPU', () => {
  for (const [what, signs, scale, expected] of [
    ['16,384 ones', [1, 1], 1, 16_384],
    // Each half of the sum is far beyond the largest number of float16.
    ['large terms that cancel', [100, -100], 100, 0],
  ] as const) {
    it(`add up ${what} in float32`, async () => {
      const inner = 16_384;
      const factor = (shape: readonly number[]) => floats(shape, Array<number>(elementCount(shape)).fill(scale));
      const results = await evaluate((feed, graph) => {
        const rows = feed(halves(3, inner, signs));
        const columns = feed(halves(3, inner, signs, true));
        const [right, rightTransposed] = [feed(factor([inner, 2])), feed(factor([2, inner]))];
        const pixels = feed(floats([1, inner, 1, 1], numbers(halves(1, inner, signs))));
        const kernel = feed(factor([2, inner, 1, 1]));
        return inHalfRecord(graph, {
          matmul: () => matmul(rows, right),
          gemm: () => gemm(rows, right),
          gemmOfTransposed: () => gemm(columns, rightTransposed, { transA: true, transB: true }),
          linear: () => linear(rows, rightTransposed),
          conv: () => conv(pixels, kernel, undefined),
        });
      });
      for (const [name, result] of Object.entries(results)) {
        assert.deepEqual(new Set(numbers(result)), new Set([expected]), name);
      }
    });
  }

  it('round their operands and results to float16', async () => {
    const { operand, result } = await evaluate((feed, graph) => {
      const product = (a: readonly number[], b: readonly number[]) =>
        inHalf(() => gemm(feed(floats([1, a.length], a)), feed(floats([b.length, 1], b))), graph);
      return { operand: product([1 + 2 ** -12], [1]), result: product([2048, 1], [1, 1]) };
    });
    assert.deepEqual(numbers(operand), [1]);
    assert.deepEqual(numbers(result), [2048]);
  });

  it('have gradients that add up in float32, of rounded operands, and are rounded', async () => {
    const rows = 16_384;
    const { toWeight, toInput } = await evaluate((feed, graph) => {
      const x = feed(ones([rows, 2]));
      const weight = feed(floats([3, 2], [1 + 2 ** -12, 2049, 0, 0, 0, 0]));
      const y = inHalf(() => linear(x, weight), graph);
      const [gx, gw] = gradients(reduceSum(mul(y, 1 + 2 ** -12)), [x, weight]);
      return { toWeight: gw!, toInput: gx! };
    });
    assert.deepEqual(new Set(numbers(toWeight)), new Set([rows]));
    assert.deepEqual(numbers(toInput).slice(0, 2), [1, 2048]);
  });

  it('are those of the kernels of float16 on CUDA, which add up in float32', () => {
    for (const [provider, type] of [
      ['cpu', 'float32'],
      ['cuda', 'float16'],
    ] as const) {
      const graph = new Graph(undefined, provider);
      const [a, b] = [graph.input('a', 'float32', [2, 3]), graph.input('b', 'float32', [3, 4])];
      inHalf(() => gemm(a, b), graph);
      const { inputs, outputs } = graph.nodes.find(({ operator }) => operator === 'Gemm')!;
      assert.deepEqual(
        [...inputs, ...outputs].map((value) => value?.dtype),
        [type, type, type],
      );
    }
  });
});

/** Builds each product in float16. */
function inHalfRecord<K extends string>(
  graph: Graph,
  builds: Readonly<Record<K, () => Value>>,
): Readonly<Record<K, Value>> {
  const built = (Object.entries(builds) as [K, () => Value][]).map(([name, build]) => [name, inHalf(build, graph)]);
  return Object.fromEntries(built) as Record<K, Value>;
}
