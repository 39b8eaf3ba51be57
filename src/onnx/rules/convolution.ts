import type { Value } from '../graph.js';
import { type ConvOptions, conv, convTranspose } from '../ops/convolution.js';
import { gemm } from '../ops/linear.js';
import { reduceSum } from '../ops/reduce.js';
import { concat, pad, reshape, slice, transpose } from '../ops/shape.js';
import { GraphError, staticShape } from '../shapes.js';
import { type GradientRule, type RuleContext, whenNeeded } from './rule.js';

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

/** One filter per channel, stride 1, output as large as the input. */
function isDepthwiseSame({ options: { stride, groups }, input, weight, output }: ConvShapes): boolean {
  return (
    stride === 1 && groups === input[1] && groups === weight[0] && input[2] === output[2] && input[3] === output[3]
  );
}

/**
 * Gradient to the input. Depthwise: the same convolution with the kernel turned by 180 degrees (ConvTranspose takes four
 * times as long on the CPU provider); otherwise ConvTranspose, its adjoint.
 */
function inputGradient(shapes: ConvShapes, weight: Value, gy: Value): Value {
  const {
    input,
    weight: [, , kernelHeight, kernelWidth],
    options,
  } = shapes;
  if (!isDepthwiseSame(shapes)) return convTranspose(gy, weight, [input[2], input[3]], options);
  const turned = slice(weight, [
    { axis: 2, start: kernelHeight - 1, end: -1, step: -1 },
    { axis: 3, start: kernelWidth - 1, end: -1, step: -1 },
  ]);
  return conv(gy, turned, undefined, options);
}

/**
 * Depthwise gradient to the weight: every (image, channel) plane is correlated with its own output gradient, which is
 * one convolution with N*C groups whose kernels are the gradients; then the sum over images.
 */
function depthwiseWeightGradient(
  { input: [n, c, h, w], weight, options: { padding } }: ConvShapes,
  x: Value,
  gy: Value,
): Value {
  const planes = reshape(x, [1, n * c, h, w]);
  const kernels = reshape(gy, [n * c, 1, h, w]);
  const correlated = conv(planes, kernels, undefined, { padding, groups: n * c });
  return reshape(reduceSum(reshape(correlated, [n, c, weight[2], weight[3]]), [0]), weight);
}

/** Gradient to the weight of an ungrouped convolution: the shifted inputs side by side (im2col), then one Gemm. */
function denseWeightGradient({ input, weight, output, options }: ConvShapes, x: Value, gy: Value): Value {
  const { stride, padding, dilation } = options;
  const [n, outputs, rows, columns] = output;
  const [, channels, kernelHeight, kernelWidth] = weight;
  // Room for the last stride's overhang, so that every shifted range has the same length.
  const reach = (cells: number, kernel: number) => (kernel - 1) * dilation + cells * stride;
  const after = (size: number, cells: number, kernel: number) =>
    Math.max(padding, reach(cells, kernel) - size - padding);
  const padded = pad(
    x,
    [0, 0, padding, padding],
    [0, 0, after(input[2], rows, kernelHeight), after(input[3], columns, kernelWidth)],
  );
  const shifted: Value[] = [];
  for (let i = 0; i < kernelHeight; i++) {
    for (let j = 0; j < kernelWidth; j++) {
      const range = slice(padded, [
        { axis: 2, start: i * dilation, end: i * dilation + (rows - 1) * stride + 1, step: stride },
        { axis: 3, start: j * dilation, end: j * dilation + (columns - 1) * stride + 1, step: stride },
      ]);
      shifted.push(reshape(transpose(range, [1, 0, 2, 3]), [channels, n * rows * columns]));
    }
  }
  const patches = concat(shifted, 0); // [k*k*C, N*H'*W'], offset-major
  const gradients = reshape(transpose(gy, [1, 0, 2, 3]), [outputs, n * rows * columns]);
  const product = gemm(gradients, patches, { transB: true }); // [O, k*k*C]
  return transpose(reshape(product, [outputs, kernelHeight, kernelWidth, channels]), [0, 3, 1, 2]);
}

export const convolutionRules = {
  Conv: (context) => {
    const {
      x: [x, weight],
      gy,
      needs,
    } = context;
    const shapes = shapesOf(context);
    return [
      whenNeeded(needs[0], () => inputGradient(shapes, weight!, gy)),
      whenNeeded(needs[1], () => {
        if (isDepthwiseSame(shapes)) return depthwiseWeightGradient(shapes, x!, gy);
        if (shapes.options.groups === 1) return denseWeightGradient(shapes, x!, gy);
        throw new GraphError(
          `Conv: no weight gradient for ${shapes.options.groups} groups with stride ${shapes.options.stride}`,
        );
      }),
      whenNeeded(needs[2], () => reduceSum(gy, [0, 2, 3])),
    ];
  },
} satisfies Record<string, GradientRule | null>;
