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

/** Encodes a tensor as a .npy file, which `numpy.load` reads. */
export function encodeNpy(value: Tensor): Uint8Array {
  const shape = value.shape.length === 1 ? `(${value.shape[0]},)` : `(${value.shape.join(', ')})`;
  const header = `{'descr': '${descriptors[value.dtype]}', 'fortran_order': False, 'shape': ${shape}, }`;
  // The data starts at a multiple of 64 bytes; the header ends with a newline.
  const headerBytes = Math.ceil((PREFIX_BYTES + header.length + 1) / 64) * 64 - PREFIX_BYTES;
  const data = tensorBytes(value);
  const bytes = new Uint8Array(PREFIX_BYTES + headerBytes + data.byteLength);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, headerBytes & 0xff, headerBytes >> 8]);
  bytes.set(new TextEncoder().encode(`${header.padEnd(headerBytes - 1)}\n`), PREFIX_BYTES);
  bytes.set(data, PREFIX_BYTES + headerBytes);
  return bytes;
}
