/** Dense tensors in main memory: a dtype, a shape and a little-endian, row-major typed array. */

/** Element types used in graphs, checkpoints and on the wire. */
export type DType = 'float32' | 'float64' | 'float16' | 'int32' | 'int64' | 'int8' | 'uint8' | 'bool';

/** The typed array for elements of each dtype; float16 is stored as 16-bit patterns. */
export interface DTypeArray {
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  int32: Int32Array;
  int64: BigInt64Array;
  int8: Int8Array;
  uint8: Uint8Array;
  bool: Uint8Array;
}

/** dtype and shape of a tensor, without its elements. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** A tensor; `data` has exactly `product(shape)` elements. */
export interface Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: DTypeArray[D];
}

const arrayConstructors = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

/** Bytes per element. */
export function elementBytes(dtype: DType): number {
  return arrayConstructors[dtype].BYTES_PER_ELEMENT;
}

/** Number of elements of a shape; 1 for a scalar (`[]`). */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/**
 * Wraps data as a tensor, without a copy.
 * @throws RangeError if the number of elements is not the product of the shape.
 */
export function tensor<D extends DType>(dtype: D, shape: readonly number[], data: DTypeArray[D]): Tensor<D> {
  if (data.length !== elementCount(shape)) {
    throw new RangeError(
      `tensor of shape [${shape.join(', ')}] needs ${elementCount(shape)} elements, got ${data.length}`,
    );
  }
  return { dtype, shape, data };
}

/** Creates a tensor of zeros. */
export function zeros<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
  const data = new arrayConstructors[dtype](elementCount(shape)) as DTypeArray[D];
  return { dtype, shape, data };
}

/** Returns rows start..end (exclusive) along the first axis; they share the data. */
export function rows<D extends DType>({ dtype, shape, data }: Tensor<D>, start: number, end: number): Tensor<D> {
  const row = elementCount(shape.slice(1));
  return tensor(dtype, [end - start, ...shape.slice(1)], data.subarray(start * row, end * row) as DTypeArray[D]);
}

/**
 * Checks that the number of bytes is that of a tensor.
 * @throws RangeError if it does not match the dtype and shape.
 */
export function checkByteLength(dtype: DType, shape: readonly number[], bytes: Uint8Array): void {
  const needed = elementCount(shape) * elementBytes(dtype);
  if (bytes.byteLength === needed) return;
  throw new RangeError(`${dtype} tensor of shape [${shape.join(', ')}] needs ${needed} bytes, got ${bytes.byteLength}`);
}

/**
 * Returns bytes (little-endian, row-major) as a tensor, with a copy only if the offset is not aligned.
 * @throws RangeError if the number of bytes does not match the dtype and shape.
 */
export function tensorFromBytes<D extends DType>(dtype: D, shape: readonly number[], bytes: Uint8Array): Tensor<D> {
  checkByteLength(dtype, shape, bytes);
  const width = elementBytes(dtype);
  const aligned = bytes.byteOffset % width === 0 ? bytes : Uint8Array.from(bytes); // not slice(), which does not copy a Buffer
  const Constructor = arrayConstructors[dtype] as unknown as new (
    b: ArrayBufferLike,
    o: number,
    n: number,
  ) => DTypeArray[D];
  return { dtype, shape, data: new Constructor(aligned.buffer, aligned.byteOffset, aligned.byteLength / width) };
}

/** Returns the tensor's bytes (little-endian, row-major), without a copy. */
export function tensorBytes(value: Tensor): Uint8Array {
  return new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength);
}

/**
 * Joins tensors of equal dtype and shape along a new first axis.
 * @throws RangeError if there are none, or if their dtypes or shapes differ.
 */
export function stack<D extends DType>(parts: readonly Tensor<D>[]): Tensor<D> {
  const [first] = parts;
  if (first === undefined) throw new RangeError('stack: give at least one tensor');
  const all = zeros(first.dtype, [parts.length, ...first.shape]);
  parts.forEach(({ dtype, shape, data }, i) => {
    if (dtype !== first.dtype || shape.join() !== first.shape.join()) {
      throw new RangeError(
        `stack: ${dtype} [${shape.join(', ')}] differs from ${first.dtype} [${first.shape.join(', ')}]`,
      );
    }
    (all.data as Float32Array).set(data as Float32Array, i * data.length);
  });
  return all;
}
