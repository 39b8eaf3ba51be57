import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, integers, normals, numbers, relativeError } from '../../../test/support/graphs.js';
import { tensor } from '../../tensor/tensor.js';
import { EXPORT_OPSET, Graph, type Provider, TRAINING_OPSET, type Value } from '../graph.js';
import { type ConvOptions, conv, convTranspose } from './convolution.js';
import { div, erf, gelu, greater, heaviside, mul, sub, where } from './elementwise.js';
import { gather, gatherElements, oneHot, smallest } from './indexing.js';
import { gemm, linear, matmul } from './linear.js';
import { layerNorm } from './normalisation.js';
import { dequantizeLinear, quantizeLinear } from './quantise.js';
import { argMin, logSoftmax, reduceMean, reduceSum, sumOfSquares } from './reduce.js';
import { concat, expand, pad, slice, transpose, unsqueeze } from './shape.js';

/** Operators against loops over plain numbers. The inferred shapes are checked by the runtime's real ones. */

const counting = (shape: readonly number[]) =>
  floats(
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i),
  );

/** Runs a graph and checks that the result has the declared shape. */
async function one(build: Parameters<typeof evaluate<'y'>>[0], opset?: number, provider?: Provider) {
  let declared: Value['shape'] = [];
  const { y } = await evaluate<'y'>(
    (feed, graph) => {
      const outputs = build(feed, graph);
      declared = outputs.y.shape;
      return outputs;
    },
    opset,
    provider,
  );
  assert.deepEqual(y.shape, declared);
  return { shape: y.shape, values: numbers(y) };
}

describe('step', () => {
  it('is 1 above zero and 0 at and below it, down to the smallest normal numbers', async () => {
    const x = [-1e30, -1, -1.2e-38, -0, 0, 1.2e-38, 1e-30, 1, 1e30, Number.POSITIVE_INFINITY];
    const expected = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1];
    const { values } = await one((feed) => ({ y: heaviside(feed(floats([x.length], x))) }));
    assert.deepEqual(
      values.map((value) => Math.round(value)),
      expected,
    );
    assert.ok(values.every((value, i) => Math.abs(value - expected[i]!) === 0 || x[i] === 1.2e-38));
  });
});

describe('moving elements', () => {
  const slices: Record<string, readonly [Parameters<typeof slice>[1], number[]]> = {
    'a range': [[{ axis: 0, start: 1, end: 3 }], [3, 4, 5, 6, 7, 8]],
    'every second': [[{ axis: -1, start: 0, end: 3, step: 2 }], [0, 2, 3, 5, 6, 8, 9, 11]],
    'backwards to the first': [[{ axis: 0, start: 3, end: -1, step: -1 }], [9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2]],
    'backwards from minus infinity': [
      [{ axis: 0, start: 2, end: Number.NEGATIVE_INFINITY, step: -2 }],
      [6, 7, 8, 0, 1, 2],
    ],
    'backwards, stopping early': [[{ axis: 0, start: 3, end: 1, step: -1 }], [9, 10, 11, 6, 7, 8]],
    'two axes': [
      [
        { axis: 1, start: 2, end: -1, step: -1 },
        { axis: 0, start: 0, end: 1 },
      ],
      [2, 1, 0],
    ],
  };
  for (const [what, [ranges, expected]] of Object.entries(slices)) {
    it(`slice: ${what}`, async () => {
      assert.deepEqual((await one((feed) => ({ y: slice(feed(counting([4, 3])), ranges) }))).values, expected);
    });
  }

  it('transpose, unsqueeze, expand, pad and concat', async () => {
    assert.deepEqual(
      (await one((feed) => ({ y: transpose(feed(counting([2, 3])), [1, 0]) }))).values,
      [0, 3, 1, 4, 2, 5],
    );
    assert.deepEqual((await one((feed) => ({ y: unsqueeze(feed(counting([2, 3])), [-1, 0]) }))).shape, [1, 2, 3, 1]);
    assert.deepEqual(
      (await one((feed) => ({ y: expand(feed(counting([2, 1])), [2, 2, 2]) }))).values,
      [0, 0, 1, 1, 0, 0, 1, 1],
    );
    assert.deepEqual(
      (await one((feed) => ({ y: pad(feed(counting([1, 2])), [1, 0], [0, 1]) }))).values,
      [0, 0, 0, 0, 1, 0],
    );
    assert.deepEqual(
      (
        await one((feed) => {
          const x = feed(counting([2, 2]));
          return { y: concat([x, slice(x, [{ axis: 1, start: 0, end: 1 }])], 1) };
        })
      ).values,
      [0, 1, 0, 2, 3, 2],
    );
  });

  it('pad for CUDA by joining zeros where its kernel is too old, with the same result', async () => {
    const build: Parameters<typeof one>[0] = (feed) => ({ y: pad(feed(counting([2, 1, 2])), [0, 2, 1], [1, 0, 2]) });
    const expected = await one(build);
    assert.equal(expected.values.length, 3 * 3 * 5);
    for (const opset of [TRAINING_OPSET, EXPORT_OPSET]) {
      assert.deepEqual(await one(build, opset, 'cuda'), expected);
      const graph = new Graph(opset, 'cuda');
      pad(graph.input('x', 'float32', [2, 1, 2]), [0, 2, 1], [1, 0, 2]);
      const pads = graph.nodes.filter(({ operator }) => operator === 'Pad');
      assert.equal(pads.length, opset === TRAINING_OPSET ? 0 : 1);
    }
  });

  it('gather and gatherElements', async () => {
    const rows = await one((feed) => ({ y: gather(feed(counting([3, 2])), feed(integers([2, 1], [2, 0])), 0) }));
    assert.deepEqual(rows, { shape: [2, 1, 2], values: [4, 5, 0, 1] });
    const elements = await one((feed) => ({
      y: gatherElements(feed(counting([2, 3])), feed(integers([2, 2], [2, 2, 0, 1])), -1),
    }));
    assert.deepEqual(elements, { shape: [2, 2], values: [2, 2, 3, 4] });
  });
});

describe('selecting', () => {
  it('oneHot sets a 1 at each index, in rows of the given depth', async () => {
    const x = integers([2, 2], [0, 2, 2, 1]);
    const { shape, values } = await one((feed) => ({ y: oneHot(feed(x), 3) }));
    assert.deepEqual(shape, [2, 2, 3]);
    assert.deepEqual(values, [1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0]);
  });

  it('argMin returns the lower index on ties', async () => {
    const x = floats([3, 4], [2, 1, 1, 1, 0, 0, 0, 0, 3, 2, -0, 0]);
    assert.deepEqual((await one((feed) => ({ y: argMin(feed(x), 1) }))).values, [1, 0, 2]);
    assert.deepEqual((await one((feed) => ({ y: argMin(feed(x), 0) }))).values, [1, 1, 1, 1]);
  });

  // The runtime has several algorithms, by length of the row and k.
  for (const [length, k] of [
    [5, 1],
    [7, 3],
    [49, 20],
    [49, 48],
    [3000, 4],
    [3000, 2000],
  ] as const) {
    it(`the ${k} smallest of ${length} are in ascending order, ties by the lower index`, async () => {
      const row = normals([length], k).map((value) => Math.round(3 * value)); // many ties
      const expected = row
        .map((value, index) => ({ value, index }))
        .sort((a, b) => a.value - b.value || a.index - b.index)
        .slice(0, k);
      const { values, indices } = await evaluate((feed) => smallest(feed(floats([2, length], [...row, ...row])), k));
      assert.deepEqual(
        numbers(indices),
        [...expected, ...expected].map(({ index }) => index),
      );
      assert.deepEqual(
        numbers(values),
        [...expected, ...expected].map(({ value }) => value),
      );
    });
  }
});

describe('computing', () => {
  const close = (actual: number[], expected: number[], tolerance = 1e-6) => {
    const error = relativeError(actual, expected);
    assert.ok(error < tolerance, `relative error ${error}`);
  };

  it('numbers may be either operand of an operator, in the order written', async () => {
    const x = floats([2], [4, 8]);
    assert.deepEqual((await one((feed) => ({ y: sub(1, feed(x)) }))).values, [-3, -7]);
    assert.deepEqual((await one((feed) => ({ y: div(16, feed(x)) }))).values, [4, 2]);
    assert.deepEqual((await one((feed) => ({ y: greater(5, feed(x)) }))).values, [1, 0]);
  });

  it('where and broadcasting select elements as NumPy does', async () => {
    const { shape, values } = await one((feed) => {
      const [a, b] = [feed(floats([2, 1], [1, -1])), feed(floats([3], [10, 20, 30]))];
      return { y: where(greater(a, 0), mul(a, b), sub(a, b)) };
    });
    assert.deepEqual(shape, [2, 3]);
    assert.deepEqual(values, [10, 20, 30, -11, -21, -31]);
  });

  it('reductions over no axis return the value, and over all axes a scalar', async () => {
    const x = counting([2, 3]);
    for (const reduce of [reduceSum, reduceMean]) {
      assert.deepEqual((await one((feed) => ({ y: reduce(feed(x), []) }))).values, [0, 1, 2, 3, 4, 5]);
    }
    assert.deepEqual(await one((feed) => ({ y: reduceSum(feed(x)) })), { shape: [], values: [15] });
    assert.deepEqual(
      (await one((feed) => ({ y: reduceMean(feed(x), [-2], { keepDims: true }) }))).values,
      [1.5, 2.5, 3.5],
    );
    assert.deepEqual((await one((feed) => ({ y: reduceMean(feed(x), [1]) }), EXPORT_OPSET)).values, [1, 4]);
  });

  it('sumOfSquares of any rank, and of millions of elements without loss of small ones', async () => {
    for (const shape of [[], [3], [2, 3], [2, 3, 2]]) {
      const x = counting(shape);
      const expected = numbers(x).reduce((sum, value) => sum + value * value, 0);
      assert.deepEqual(await one((feed) => ({ y: sumOfSquares(feed(x)) })), { shape: [], values: [expected] });
    }
    const many = Array.from({ length: 2 ** 22 }, (_, i) => Math.fround(0.001 * (1 + ((0.618 * i) % 1))));
    const exact = many.reduce((sum, value) => sum + value * value, 0);
    const { values } = await one((feed) => ({ y: sumOfSquares(feed(floats([2048, 2048], many))) }));
    assert.ok(Math.abs(values[0]! - exact) < 1e-5 * exact, `${values[0]}, expected ${exact}`);
  });

  it('gelu is x Phi(x), in both operator sets', async () => {
    // Phi by Simpson's rule over the normal density.
    const phi = (x: number) => {
      const [n, h] = [2000, x / 2000];
      let area = 0;
      for (let i = 0; i <= n; i++)
        area += Math.exp(-((i * h) ** 2) / 2) * (i === 0 || i === n ? 1 : i % 2 === 1 ? 4 : 2);
      return 0.5 + (area * h) / 3 / Math.sqrt(2 * Math.PI);
    };
    const points = [-4, -1.5, -0.1, 0, 0.3, 1, 5];
    const expected = points.map((x) => x * phi(x));
    for (const opset of [20, EXPORT_OPSET]) {
      close((await one((feed) => ({ y: gelu(feed(floats([7], points))) }), opset)).values, expected, 1e-6);
    }
    close(
      (await one((feed) => ({ y: erf(feed(floats([2], [0.5, -1]))) }))).values,
      [0.5204998778, -0.8427007929],
      1e-6,
    );
  });

  it('logSoftmax is stable for large logits', async () => {
    const { values } = await one((feed) => ({ y: logSoftmax(feed(floats([1, 3], [1000, 1000, 999]))) }));
    const total = Math.log(2 + Math.exp(-1));
    close(values, [-total, -total, -1 - total]);
  });

  it('matrix products agree with plain loops for all transpositions', async () => {
    const [m, k, n] = [3, 4, 2];
    const [a, b, bias] = [normals([m, k], 1), normals([k, n], 2), normals([n], 3)];
    const product = Array.from({ length: m * n }, (_, i) => {
      const [row, column] = [Math.floor(i / n), i % n];
      return Array.from({ length: k }, (_, j) => a[row * k + j]! * b[j * n + column]!).reduce((x, y) => x + y);
    });
    const turn = (values: number[], rows: number, columns: number) =>
      floats(
        [columns, rows],
        values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!),
      );
    const withBias = product.map((value, i) => value + bias[i % n]!);
    close((await one((feed) => ({ y: matmul(feed(floats([m, k], a)), feed(floats([k, n], b))) }))).values, product);
    for (const [transA, transB] of [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ] as const) {
      const { values } = await one((feed) => {
        const left = feed(transA ? turn(a, m, k) : floats([m, k], a));
        const right = feed(transB ? turn(b, k, n) : floats([k, n], b));
        return { y: gemm(left, right, { transA, transB, bias: feed(floats([n], bias)) }) };
      });
      close(values, withBias);
    }
    const { values } = await one((feed) => ({
      y: linear(feed(floats([1, m, k], a)), feed(turn(b, k, n)), feed(floats([n], bias))),
    }));
    close(values, withBias);
  });

  it('layerNorm normalises by the biased variance', async () => {
    const [x, scale, bias] = [normals([2, 5], 4), normals([5], 5), normals([5], 6)];
    const expected = x.map((value, i) => {
      const row = x.slice(i - (i % 5), i - (i % 5) + 5);
      const mean = row.reduce((a, b) => a + b) / 5;
      const variance = row.reduce((sum, b) => sum + (b - mean) ** 2, 0) / 5;
      return ((value - mean) / Math.sqrt(variance + 0.1)) * scale[i % 5]! + bias[i % 5]!;
    });
    const { values } = await one((feed) => ({
      y: layerNorm(feed(floats([2, 5], x)), feed(floats([5], scale)), feed(floats([5], bias)), 0.1),
    }));
    close(values, expected);
  });

  const convolutions: Record<string, readonly [number[], number[], ConvOptions]> = {
    plain: [[2, 3, 5, 4], [4, 3, 3, 3], {}],
    'strided patches with a remainder': [[1, 3, 7, 6], [2, 3, 2, 2], { stride: 2 }],
    'padded, dilated and strided': [[1, 2, 8, 7], [3, 2, 3, 3], { stride: 2, padding: 2, dilation: 2 }],
    'in two groups': [[2, 4, 4, 5], [6, 2, 3, 3], { padding: 1, groups: 2 }],
    depthwise: [[2, 3, 4, 4], [3, 1, 7, 7], { padding: 3, groups: 3 }],
  };
  for (const [what, [shape, kernel, options]] of Object.entries(convolutions)) {
    const { stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
    const [n, c, h, w] = shape as [number, number, number, number];
    const [o, i, kh, kw] = kernel as [number, number, number, number];
    const size = (length: number, taps: number) =>
      Math.floor((length + 2 * padding - dilation * (taps - 1) - 1) / stride) + 1;
    const [rows, columns] = [size(h, kh), size(w, kw)];
    const [x, weight, bias] = [normals(shape, 7), normals(kernel, 8), normals([o], 9)];
    /** Every product of the convolution: element of x, of the weight and of the output. */
    const products: [number, number, number][] = [];
    for (let b = 0; b < n; b++)
      for (let out = 0; out < o; out++)
        for (let p = 0; p < rows * columns; p++)
          for (let tap = 0; tap < i * kh * kw; tap++) {
            const channel = Math.floor(out / (o / groups)) * i + Math.floor(tap / (kh * kw));
            const row = Math.floor(p / columns) * stride - padding + (Math.floor(tap / kw) % kh) * dilation;
            const column = (p % columns) * stride - padding + (tap % kw) * dilation;
            if (row < 0 || row >= h || column < 0 || column >= w) continue;
            const from = ((b * c + channel) * h + row) * w + column;
            products.push([from, out * i * kh * kw + tap, (b * o + out) * rows * columns + p]);
          }

    it(`conv ${what} agrees with plain loops`, async () => {
      const expected = Array.from(
        { length: n * o * rows * columns },
        (_, at) => bias[Math.floor(at / (rows * columns)) % o]!,
      );
      for (const [from, tap, to] of products) expected[to]! += x[from]! * weight[tap]!;
      const { shape: found, values } = await one((feed) => ({
        y: conv(feed(floats(shape, x)), feed(floats(kernel, weight)), feed(floats([o], bias)), options),
      }));
      assert.deepEqual(found, [n, o, rows, columns]);
      close(values, expected, 1e-5);
    });

    it(`convTranspose of ${what} is its adjoint`, async () => {
      const gy = normals([n, o, rows, columns], 10);
      const expected = x.map(() => 0);
      for (const [from, tap, to] of products) expected[from]! += gy[to]! * weight[tap]!;
      const { values } = await one((feed) => ({
        y: convTranspose(feed(floats([n, o, rows, columns], gy)), feed(floats(kernel, weight)), [h, w], options),
      }));
      close(values, expected, 1e-5);
    });
  }
});

describe('quantisation', () => {
  it('rounds half to even and saturates, and is inverted as (integer - zeroPoint) x scale', async () => {
    const build = (back: boolean) => async () =>
      one((feed, graph) => {
        const scale = graph.scalar(0.5);
        const zeroPoint = graph.constant(tensor('uint8', [], Uint8Array.of(100)));
        const quantised = quantizeLinear(feed(floats([6], [0, 0.25, 0.75, -0.6, 1000, -1000])), scale, zeroPoint);
        return { y: back ? dequantizeLinear(quantised, scale, zeroPoint) : quantised };
      }, EXPORT_OPSET);
    assert.deepEqual((await build(false)()).values, [100, 100, 102, 99, 255, 0]);
    assert.deepEqual((await build(true)()).values, [0, 0, 1, -0.5, 77.5, -50]);
  });

  it('has one scale for each slice along an axis', async () => {
    const { values } = await one((_, graph) => {
      const integers8 = graph.constant(tensor('int8', [2, 2], Int8Array.of(1, 2, -3, 4)));
      const zeroPoint = graph.constant(tensor('int8', [2], new Int8Array(2)));
      return { y: dequantizeLinear(integers8, graph.constant(floats([2], [1, 10])), zeroPoint, 1) };
    }, EXPORT_OPSET);
    assert.deepEqual(values, [1, 20, -3, 40]);
  });
});
