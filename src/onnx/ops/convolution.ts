import { emitOne, type Value } from '../graph.js';
import { type Dim, formatShape, GraphError } from '../shapes.js';
import { product } from './product.js';
import { slice } from './shape.js';

/** Two-dimensional convolutions, NCHW, with the same stride, padding and dilation on both axes. */

export interface ConvOptions {
  readonly stride?: number;
  readonly padding?: number;
  readonly dilation?: number;
  readonly groups?: number;
}

/** Cells along one axis after a convolution: floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1. */
export function convolvedSize(size: Dim, kernel: number, stride: number, padding: number, dilation: number): Dim {
  const reach = dilation * (kernel - 1) + 1;
  if (stride === 1 && 2 * padding === reach - 1) return size;
  if (typeof size === 'string') return `floor((${size}+${2 * padding - reach})/${stride})+1`;
  return Math.floor((size + 2 * padding - reach) / stride) + 1;
}

/** A convolution or a pooling, as its output's size depends on it. */
interface Windowing extends Required<Pick<ConvOptions, 'stride' | 'padding' | 'dilation'>> {
  /** Height and width of the kernel. */
  readonly kernel: readonly [number, number];
}

/**
 * Rows and columns of the output.
 * @param subject what is convolved, for the message
 * @throws GraphError if there is no output cell.
 */
export function convolvedCells<D extends Dim>(
  [height, width]: readonly [D, D],
  { kernel, stride, padding, dilation }: Windowing,
  operator: string,
  subject: string,
): [D, D] {
  const cells = [
    convolvedSize(height, kernel[0], stride, padding, dilation),
    convolvedSize(width, kernel[1], stride, padding, dilation),
  ] as [D, D];
  if (cells.some((count) => typeof count === 'number' && count < 1)) {
    throw new GraphError(`${operator}: the kernel is larger than the padded input: ${subject}, padding ${padding}`);
  }
  return cells;
}

/** x [N, C, H, W], weight [O, C/groups, k, k], bias [O] -> [N, O, H', W']. */
export function conv(x: Value, weight: Value, bias: Value | undefined, options: ConvOptions = {}): Value {
  return product('Conv', [x, weight, bias], (operands) => emitConv(operands, options));
}

function emitConv([x, weight, bias]: readonly [Value, Value, Value | undefined], options: ConvOptions): Value {
  const { stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
  const [n, channels, height, width] = x.shape as [Dim, number, Dim, Dim];
  const [outputs, inputsPerGroup, kernelHeight, kernelWidth] = weight.shape as [number, number, number, number];
  const shapes = `input ${formatShape(x.shape)} and weight ${formatShape(weight.shape)} with ${groups} groups`;
  if (x.shape.length !== 4 || weight.shape.length !== 4) throw new GraphError(`Conv: ${shapes} must have four axes`);
  if (x.dtype !== weight.dtype) throw new GraphError(`Conv: dtypes differ: ${x.dtype} input, ${weight.dtype} weight`);
  if (channels !== inputsPerGroup * groups || outputs % groups !== 0)
    throw new GraphError(`Conv: ${shapes} do not fit`);
  if (bias !== undefined && (bias.shape.length !== 1 || bias.shape[0] !== outputs)) {
    throw new GraphError(`Conv: bias ${formatShape(bias.shape)} does not fit ${outputs} output channels`);
  }
  const windowing = { kernel: [kernelHeight, kernelWidth], stride, padding, dilation } as const;
  const [rows, columns] = convolvedCells([height, width], windowing, 'Conv', shapes);
  return emitOne(
    'Conv',
    bias === undefined ? [x, weight] : [x, weight, bias],
    { dtype: x.dtype, shape: [n, outputs, rows, columns] },
    {
      kernel_shape: [kernelHeight, kernelWidth],
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
      dilations: [dilation, dilation],
      group: groups,
    },
  );
}

/** The kernel rotated by 180 degrees: [O, I, h, w], rows and columns in reverse order. */
export function rotated180(weight: Value): Value {
  const [, , height, width] = weight.shape as readonly [number, number, number, number];
  return slice(weight, [
    { axis: 2, start: height - 1, end: -1, step: -1 },
    { axis: 3, start: width - 1, end: -1, step: -1 },
  ]);
}

/**
 * The adjoint of `conv` with respect to its input: gy [N, O, H', W'], weight as in `conv` -> [N, C, H, W].
 * The size of the input must be given, since several sizes convolve to the same.
 */
export function convTranspose(
  gy: Value,
  weight: Value,
  inputSize: readonly [number, number],
  options: ConvOptions = {},
): Value {
  return product('ConvTranspose', [gy, weight], (operands) => emitConvTranspose(operands, inputSize, options));
}

function emitConvTranspose(
  [gy, weight]: readonly [Value, Value],
  inputSize: readonly [number, number],
  options: ConvOptions,
): Value {
  const { stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
  const [n, outputs, rows, columns] = gy.shape as [number, number, number, number];
  const [outputsOfWeight, inputsPerGroup, kernelHeight, kernelWidth] = weight.shape as [number, number, number, number];
  if (outputs !== outputsOfWeight) {
    throw new GraphError(
      `ConvTranspose: ${formatShape(gy.shape)} does not fit the weight ${formatShape(weight.shape)}`,
    );
  }
  const extra = (size: number, cells: number, kernel: number) =>
    size - ((cells - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1);
  return emitOne(
    'ConvTranspose',
    [gy, weight],
    { dtype: gy.dtype, shape: [n, inputsPerGroup * groups, ...inputSize] },
    {
      kernel_shape: [kernelHeight, kernelWidth],
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
      dilations: [dilation, dilation],
      group: groups,
      output_padding: [extra(inputSize[0], rows, kernelHeight), extra(inputSize[1], columns, kernelWidth)],
    },
  );
}
