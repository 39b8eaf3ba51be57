import { emitOne, type Value } from '../graph.js';
import { formatShape, GraphError, sameShape } from '../shapes.js';

/**
 * Linear quantisation (ONNX QuantizeLinear and DequantizeLinear): real = (integer - zeroPoint) x scale. Scale and zero
 * point are of one element [] or, along `axis`, of one for each slice [n].
 */

function checkScale(operator: string, x: Value, scale: Value, zeroPoint: Value, axis: number | undefined): void {
  const expected = axis === undefined ? [] : [x.shape[axis]!];
  if (scale.dtype === 'float32' && sameShape(scale.shape, expected) && sameShape(zeroPoint.shape, expected)) return;
  throw new GraphError(
    `${operator}: ${scale.dtype} scale ${formatShape(scale.shape)} and zero point ${formatShape(zeroPoint.shape)} ` +
      `do not fit ${formatShape(x.shape)}${axis === undefined ? '' : ` along axis ${axis}`}`,
  );
}

/** float32 x -> integers of the zero point's dtype, rounded half to even and saturated; same shape. */
export function quantizeLinear(x: Value, scale: Value, zeroPoint: Value): Value {
  checkScale('QuantizeLinear', x, scale, zeroPoint, undefined);
  return emitOne('QuantizeLinear', [x, scale, zeroPoint], { dtype: zeroPoint.dtype, shape: x.shape });
}

/** Integers x -> float32 of the same shape. */
export function dequantizeLinear(x: Value, scale: Value, zeroPoint: Value, axis?: number): Value {
  checkScale('DequantizeLinear', x, scale, zeroPoint, axis);
  if (x.dtype !== zeroPoint.dtype) {
    throw new GraphError(`DequantizeLinear: dtypes differ: ${x.dtype} input, ${zeroPoint.dtype} zero point`);
  }
  return emitOne(
    'DequantizeLinear',
    [x, scale, zeroPoint],
    { dtype: 'float32', shape: x.shape },
    axis === undefined ? {} : { axis },
  );
}
