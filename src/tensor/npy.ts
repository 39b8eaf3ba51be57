import { type DType, type Tensor, tensorBytes } from './tensor.js';

/** The file format of NumPy, version 1.0 (numpy.org/doc/stable/reference/generated/numpy.lib.format.html). */

const descriptors: Record<DType, string> = {
  float32: '<f4',
  float64: '<f8',
  float16: '<f2',
  int32: '<i4',
  int64: '<i8',
  int8: '|i1',
  uint8: '|u1',
  bool: '|b1',
};

/** Magic, version and header length. */
const PREFIX_BYTES = 10;

/**
 * Everything before the data of a .npy file.
 * @param leastBytes minimum length, a multiple of 64; for files whose number of rows is not known when they are begun
 */
export function npyHeader(dtype: DType, shape: readonly number[], leastBytes = 64): Uint8Array {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const header = `{'descr': '${descriptors[dtype]}', 'fortran_order': False, 'shape': ${tuple}, }`;
  // The data starts at a multiple of 64 bytes; the header ends with a newline.
  const length = Math.max(leastBytes, Math.ceil((PREFIX_BYTES + header.length + 1) / 64) * 64);
  const headerBytes = length - PREFIX_BYTES;
  const bytes = new Uint8Array(length);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, headerBytes & 0xff, headerBytes >> 8]);
  bytes.set(new TextEncoder().encode(`${header.padEnd(headerBytes - 1)}\n`), PREFIX_BYTES);
  return bytes;
}

/** Encodes a tensor as a .npy file, which `numpy.load` reads. */
export function encodeNpy(value: Tensor): Uint8Array {
  return Buffer.concat([npyHeader(value.dtype, value.shape), tensorBytes(value)]);
}
