import { elementCount } from '../../tensor/tensor.js';
import type { Value } from '../graph.js';
import { add, div, mul, neg, sqrt, sub } from '../ops/elementwise.js';
import { matmul } from '../ops/linear.js';
import { channelAffine } from '../ops/normalisation.js';
import { reduceMean, reduceSum } from '../ops/reduce.js';
import { matrixTranspose, reshape, transpose } from '../ops/shape.js';
import { staticShape } from '../shapes.js';
import type { FamilyGradients } from './rule.js';

/** [N, C, ...] as one row per channel: [C, N * ...]. */
function channelRows(x: Value): Value {
  const [n, channels, ...rest] = staticShape(x.shape, 'BatchNormalization') as [number, number, ...number[]];
  const cells = elementCount(rest);
  const rows = n === 1 ? x : transpose(reshape(x, [n, channels, cells]), [1, 0, 2]);
  return reshape(rows, [channels, n * cells]);
}

/** Inner products of the rows of two matrices [C, M] -> [C]: as products of a row and a column, without an intermediate [C, M]. */
function rowProducts(a: Value, b: Value): Value {
  const [rows, columns] = a.shape as readonly [number, number];
  const product = matmul(reshape(a, [rows, 1, columns]), matrixTranspose(reshape(b, [rows, 1, columns])));
  return reshape(product, [rows]);
}

export const normalisationRules = {
  // with n = (x - mean) / std and M elements a channel: dx = scale / std (gy - sum(gy) / M - n sum(gy n) / M), which is
  // a gy + b x + c with one a, b and c a channel: two sums, then two passes
  BatchNormalization: ({ node, x: [x, scale], y: [, mean, variance], gy }) => {
    const channels = x!.shape[1] as number;
    const count = elementCount(staticShape(x!.shape, 'BatchNormalization')) / channels;
    const epsilon = (node.attributes['epsilon'] as { readonly float: number }).float;
    const gyRows = channelRows(gy);
    const gySum = reduceSum(gyRows, [1]);
    const inverseStd = div(1, sqrt(add(variance!, epsilon)));
    const projection = mul(sub(rowProducts(gyRows, channelRows(x!)), mul(mean!, gySum)), inverseStd); // sum(gy n)
    return [
      () => {
        const a = mul(scale!, inverseStd);
        const b = neg(mul(mul(a, inverseStd), div(projection, count)));
        const c = neg(add(mul(a, div(gySum, count)), mul(b, mean!)));
        const along = x!.shape.map((_, axis) => (axis === 1 ? channels : 1));
        return add(mul(gy, reshape(a, along)), channelAffine(x!, b, c));
      },
      () => projection,
      () => gySum,
    ];
  },
  // with n = (x - mean) / std and h = gy * scale: dx = (h - mean(h) - n mean(h n)) / std
  LayerNormalization: ({ x: [x, scale], y: [, mean, inverseStd], gy }) => {
    const normalised = mul(sub(x!, mean!), inverseStd!);
    return [
      () => {
        const h = mul(gy, scale!);
        const projection = reduceMean(mul(h, normalised), [-1], { keepDims: true });
        const centre = reduceMean(h, [-1], { keepDims: true });
        return mul(sub(h, add(mul(normalised, projection), centre)), inverseStd!);
      },
      () => mul(gy, normalised),
      () => gy,
    ];
  },
} satisfies FamilyGradients;
