import type { TensorJson } from './messages.js';

/** Vectors of one map or one image. */
export interface Vectors {
  /** Row-major. */
  readonly data: Float32Array;
  readonly shape: readonly number[];
  /** Length of a vector. */
  readonly channels: number;
}

function bytesOf(base64: string): ArrayBuffer {
  const text = atob(base64.replaceAll('-', '+').replaceAll('_', '/'));
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes.buffer;
}

/** Reads float32, and int8 with its scales: the types that the page asks for. */
export function readTensor({ dtype, shape = [], data = '', scales = '' }: TensorJson): Vectors {
  const channels = shape.at(-1) ?? 0;
  if (dtype === 'DATA_TYPE_FLOAT32') return { data: new Float32Array(bytesOf(data)), shape, channels };
  if (dtype !== 'DATA_TYPE_INT8') throw new Error(`a tensor of type ${dtype} was not asked for`);
  const scaleOf = new Float32Array(bytesOf(scales));
  const values = Float32Array.from(
    new Int8Array(bytesOf(data)),
    (element, i) => element * scaleOf[Math.floor(i / channels)]!,
  );
  return { data: values, shape, channels };
}

/** The length of each vector. */
export function norms({ data, channels }: Vectors): Float32Array {
  const lengths = new Float32Array(data.length / channels);
  for (let cell = 0; cell < lengths.length; cell++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += data[cell * channels + c]! ** 2;
    lengths[cell] = Math.sqrt(sum);
  }
  return lengths;
}

/** Cosine similarity of every vector to one of another map of the same space. A vector of zeros has similarity 0. */
export function similarities(map: Vectors, from: Vectors, cell: number): Float32Array {
  const { channels } = map;
  const query = from.data.subarray(cell * channels, (cell + 1) * channels);
  const lengths = norms(map);
  const length = Math.hypot(...query);
  return lengths.map((other, i) => {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += map.data[i * channels + c]! * query[c]!;
    return other * length === 0 ? 0 : sum / (other * length);
  });
}

/** Smallest and largest value of several arrays; 0 and 1 if they have none. */
export function rangeOf(...arrays: readonly Float32Array[]): readonly [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const values of arrays) {
    for (const value of values) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return low <= high ? [low, high] : [0, 1];
}
