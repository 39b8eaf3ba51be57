import { type DType, elementBytes, elementCount, type TensorType } from './tensor.js';

/** The header of a safetensors file (github.com/huggingface/safetensors): names, dtypes, shapes and offsets as JSON. */

const dtypeCodes: Record<DType, string> = {
  float32: 'F32',
  float64: 'F64',
  float16: 'F16',
  int32: 'I32',
  int64: 'I64',
  int8: 'I8',
  uint8: 'U8',
  bool: 'BOOL',
};
const ownDtypes: DtypeTable<DType> = new Map(
  Object.entries(dtypeCodes).map(([dtype, code]) => [
    code,
    { dtype: dtype as DType, width: elementBytes(dtype as DType) },
  ]),
);

/** Element types that a reader supports, with the bytes per element, by their codes in the format. */
export type DtypeTable<D> = ReadonlyMap<string, { readonly dtype: D; readonly width: number }>;

/** Maximum bytes of the header, as defined by the format. */
const MAX_HEADER_BYTES = 100_000_000;

/** A malformed safetensors file; the message names the file and the entry. */
export class SafetensorsError extends Error {
  override readonly name = 'SafetensorsError';
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

function isEntry(value: unknown): value is Entry {
  if (typeof value !== 'object' || value === null) return false;
  const { dtype, shape, data_offsets: offsets } = value as Partial<Entry>;
  const isCount = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0;
  return (
    typeof dtype === 'string' &&
    Array.isArray(shape) &&
    shape.every(isCount) &&
    Array.isArray(offsets) &&
    offsets.length === 2 &&
    offsets.every(isCount)
  );
}

function isMetadata(value: unknown): value is Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((text) => typeof text === 'string');
}

/** Location of a tensor's bytes; offsets are relative to the end of the header. */
export interface TensorPlace<D = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

export interface SafetensorsHeader<D = DType> {
  readonly metadata: Readonly<Record<string, string>>;
  readonly places: ReadonlyMap<string, TensorPlace<D>>;
}

/**
 * Reads the length of the header from the first 8 bytes of a file.
 * @throws SafetensorsError if a file of `fileBytes` cannot have such a header.
 */
export function headerLength(first: Uint8Array, fileBytes: number, name: string): number {
  if (first.byteLength < 8) {
    throw new SafetensorsError(
      `${name}: ${first.byteLength} bytes are too few for the 8-byte header length; is it truncated?`,
    );
  }
  const length = new DataView(first.buffer, first.byteOffset).getBigUint64(0, true);
  if (length > BigInt(Math.min(MAX_HEADER_BYTES, fileBytes - 8))) {
    throw new SafetensorsError(
      `${name}: the header claims ${length} bytes, but the file has ${fileBytes - 8}; is it truncated?`,
    );
  }
  return Number(length);
}

/** Parses the JSON of a header whose tensors have a `DType`; see parseEntries. */
export function parseHeader(json: Uint8Array, dataBytes: number, name: string): SafetensorsHeader {
  return parseEntries(json, dataBytes, name, ownDtypes);
}

/**
 * Parses the JSON of a header.
 * @param dataBytes number of bytes after the header
 * @param name of the file, for errors
 * @param dtypes supported element types
 * @throws SafetensorsError if it is malformed, contains an unsupported dtype, or places tensors so that they overlap or leave
 *   unused bytes (the format allows neither).
 */
export function parseEntries<D>(
  json: Uint8Array,
  dataBytes: number,
  name: string,
  dtypes: DtypeTable<D>,
): SafetensorsHeader<D> {
  const fail = (reason: string, cause?: unknown): never => {
    throw new SafetensorsError(`${name}: ${reason}`, { cause });
  };
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (cause) {
    fail('the header is not JSON', cause);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) fail('the header is not a JSON object');
  const places = new Map<string, TensorPlace<D>>();
  let metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(header as object)) {
    if (key === '__metadata__') {
      if (!isMetadata(value)) throw new SafetensorsError(`${name}: __metadata__ must map names to strings`);
      metadata = value;
      continue;
    }
    if (!isEntry(value)) throw new SafetensorsError(`${name}: the header entry of "${key}" is malformed`);
    const { shape } = value;
    const known = dtypes.get(value.dtype);
    if (known === undefined) throw new SafetensorsError(`${name}: "${key}" has the unsupported dtype ${value.dtype}`);
    const { dtype, width } = known;
    const [start, end] = value.data_offsets;
    if (end - start !== elementCount(shape) * width || end > dataBytes) {
      fail(`"${key}" [${shape.join(', ')}] ${value.dtype} does not fit its offsets ${start}..${end}; is it truncated?`);
    }
    places.set(key, { dtype, shape, start, end });
  }
  let covered = 0;
  for (const [key, { start, end }] of [...places].sort(([, a], [, b]) => a.start - b.start || a.end - b.end)) {
    if (start !== covered) {
      const problem = start < covered ? 'and overlaps a tensor that ends' : 'after a gap that begins';
      fail(`"${key}" starts at ${start}${start < covered ? ' ' : ', '}${problem} at ${covered}`);
    }
    covered = end;
  }
  if (dataBytes > covered) fail(`${dataBytes - covered} unused bytes after the last tensor`);
  return { metadata, places };
}

/** An encoded header, and the layout of the tensors after it. */
export interface EncodedHeader {
  /** The bytes before the tensors: header length and padded JSON. */
  readonly head: Uint8Array;
  /** Names in file order. */
  readonly ordered: readonly string[];
  /** Location of each tensor's bytes, relative to the start of the file. */
  readonly places: ReadonlyMap<string, { readonly offset: number; readonly length: number }>;
}

/**
 * Encodes the header and lays out the tensors: wider dtypes first, so that every tensor is aligned.
 * @throws SafetensorsError for a tensor with a name that the format reserves.
 */
export function encodeHeader(
  tensors: ReadonlyMap<string, TensorType>,
  metadata: Readonly<Record<string, string>>,
): EncodedHeader {
  const ordered = [...tensors].sort(([, a], [, b]) => elementBytes(b.dtype) - elementBytes(a.dtype));
  if (tensors.has('__metadata__')) throw new SafetensorsError('a tensor may not have the name __metadata__');
  const header: Record<string, unknown> = Object.create(null);
  if (Object.keys(metadata).length > 0) header['__metadata__'] = metadata;
  const lengths = ordered.map(([, { dtype, shape }]) => elementCount(shape) * elementBytes(dtype));
  let end = 0;
  ordered.forEach(([name, { dtype, shape }], i) => {
    const start = end;
    end += lengths[i]!;
    header[name] = { dtype: dtypeCodes[dtype], shape, data_offsets: [start, end] };
  });
  const json = new TextEncoder().encode(JSON.stringify(header));
  const head = new Uint8Array(8 + Math.ceil(json.byteLength / 8) * 8);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.byteLength - 8), true);
  head.fill(0x20, 8); // padding with spaces, as the format requires
  head.set(json, 8);
  let offset = head.byteLength;
  const places = new Map<string, { offset: number; length: number }>();
  ordered.forEach(([name], i) => {
    places.set(name, { offset, length: lengths[i]! });
    offset += lengths[i]!;
  });
  return { head, ordered: ordered.map(([name]) => name), places };
}
