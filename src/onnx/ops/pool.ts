import type { Value } from '../graph.js';
import { formatShape, GraphError } from '../shapes.js';
import { convolvedCells } from './convolution.js';

interface PoolOptions {
  readonly size: number;
  readonly stride: number;
  readonly padding: number;
}

/** Largest element of every window, NCHW: [N, C, H, W] -> [N, C, H', W']. Its second output holds flat indices into x. */
export function maxPool(x: Value, { size, stride, padding }: PoolOptions): Value {
  const [n, channels, height, width] = x.shape;
  if (x.shape.length !== 4 || n === undefined || channels === undefined) {
    throw new GraphError(`MaxPool: input ${formatShape(x.shape)} must have four axes`);
  }
  const input = `input ${formatShape(x.shape)} and windows of ${size} x ${size}`;
  // A window of zeros alone has no largest element.
  if (padding >= size) throw new GraphError(`MaxPool: padding ${padding} is not smaller than the windows: ${input}`);
  const windowing = { kernel: [size, size], stride, padding, dilation: 1 } as const;
  const [rows, columns] = convolvedCells([height!, width!], windowing, 'MaxPool', input);
  const shape = [n, channels, rows, columns];
  const outputs = x.graph.emit(
    'MaxPool',
    [x],
    [
      { dtype: x.dtype, shape },
      { dtype: 'int64', shape },
    ],
    { kernel_shape: [size, size], strides: [stride, stride], pads: [padding, padding, padding, padding] },
  );
  return outputs[0] as Value;
}
