import { depthwiseGradientForm } from '../convolutionForms.js';
import type { Value } from '../graph.js';
import { type ConvOptions, conv, convTranspose, rotated180 } from '../ops/convolution.js';
import { depthwiseWeightGradient } from '../ops/depthwiseGradient.js';
import { gemm, matmul } from '../ops/linear.js';
import { kernelRowPatches } from '../ops/patches.js';
import { reduceSum } from '../ops/reduce.js';
import { concat, matrixTranspose, reshape, slice, transpose } from '../ops/shape.js';
import { GraphError, staticShape } from '../shapes.js';
import type { FamilyGradients, RuleContext } from './rule.js';

type Four = readonly [number, number, number, number];

interface ConvShapes {
  readonly options: Required<ConvOptions>;
  readonly input: Four;
  readonly weight: Four;
  readonly output: Four;
}

function shapesOf({ node, x: [x, weight], y: [y] }: RuleContext): ConvShapes {
  const first = (name: string) => (node.attributes[name] as readonly number[])[0]!;
  return {
    options: {
      stride: first('strides'),
      padding: first('pads'),
      dilation: first('dilations'),
      groups: node.attributes['group'] as number,
    },
    input: staticShape(x!.shape, 'Conv') as Four,
    weight: staticShape(weight!.shape, 'Conv') as Four,
    output: staticShape(y!.shape, 'Conv') as Four,
  };
}

/** One square filter per channel, stride 1, output as large as the input. */
function isDepthwiseSame({ options: { stride, groups }, input, weight, output }: ConvShapes): boolean {
  return (
    stride === 1 &&
    groups === input[1] &&
    groups === weight[0] &&
    weight[2] === weight[3] &&
    input[2] === output[2] &&
    input[3] === output[3]
  );
}

/**
 * Gradient to the input. Depthwise: the same convolution with the kernel rotated by 180 degrees (ConvTranspose takes four
 * times as long on the CPU provider); otherwise ConvTranspose, its adjoint.
 */
function inputGradient(shapes: ConvShapes, weight: Value, gy: Value): Value {
  const { input, options } = shapes;
  if (!isDepthwiseSame(shapes)) return convTranspose(gy, weight, [input[2], input[3]], options);
  return conv(gy, rotated180(weight), undefined, options);
}

/**
 * Gradient to the weight of a 1 x 1 convolution: a product of the maps over all cells. Either one product of channel-major
 * copies of the maps, or one product per image and their sum, whichever writes less.
 */
function pointwiseWeightGradient({ weight, output, options: { stride } }: ConvShapes, x: Value, gy: Value): Value {
  const [n, outputs, rows, columns] = output;
  const [, channels] = weight;
  const cells = rows * columns;
  const seen =
    stride === 1
      ? x
      : slice(
          x,
          [rows, columns].map((count, i) => ({ axis: i + 2, start: 0, end: (count - 1) * stride + 1, step: stride })),
        );
  if (outputs * channels < (outputs + channels) * cells) {
    const products = matmul(reshape(gy, [n, outputs, cells]), matrixTranspose(reshape(seen, [n, channels, cells])));
    return reshape(reduceSum(products, [0]), weight);
  }
  const rowsOf = (value: Value, count: number) => reshape(transpose(value, [1, 0, 2, 3]), [count, n * cells]);
  return reshape(gemm(rowsOf(gy, outputs), rowsOf(seen, channels), { transB: true }), weight);
}

/**
 * Gradient to the weight of an ungrouped convolution, one row of the kernel after the other: the patches that this row sees
 * are gathered and multiplied with the gradient.
 */
function denseWeightGradient(shapes: ConvShapes, x: Value, gy: Value): Value {
  const { weight, output, options } = shapes;
  const { stride, padding, dilation } = options;
  const [n, outputs, rows, columns] = output;
  const [, channels, kernelHeight, kernelWidth] = weight;
  if (kernelHeight === 1 && kernelWidth === 1 && padding === 0) return pointwiseWeightGradient(shapes, x, gy);
  const windows = { stride, padding, dilation, rows, columns };
  const seenBy = kernelRowPatches(transpose(x, [0, 2, 3, 1]), [kernelHeight, kernelWidth], windows);
  const gradients = reshape(transpose(gy, [1, 0, 2, 3]), [outputs, n * rows * columns]);
  const products = Array.from({ length: kernelHeight }, (_, row) => gemm(gradients, seenBy(row)));
  const kernel = reshape(concat(products, 1), [outputs, kernelHeight, kernelWidth, channels]);
  return transpose(kernel, [0, 3, 1, 2]);
}

export const convolutionRules = {
  Conv: (context) => {
    const {
      x: [x, weight],
      gy,
    } = context;
    const shapes = shapesOf(context);
    return [
      () => inputGradient(shapes, weight!, gy),
      () => {
        if (isDepthwiseSame(shapes)) {
          const { weight: kernel, input, options } = shapes;
          const form = depthwiseGradientForm(gy.graph.provider, input[2] * input[3]);
          return depthwiseWeightGradient(x!, gy, { size: kernel[2], dilation: options.dilation }, form);
        }
        if (shapes.options.groups === 1) return denseWeightGradient(shapes, x!, gy);
        throw new GraphError(
          `Conv: no weight gradient for ${shapes.options.groups} groups with stride ${shapes.options.stride}`,
        );
      },
      () => reduceSum(gy, [0, 2, 3]),
    ];
  },
  ConvTranspose: 'unsupported',
} satisfies FamilyGradients;
