import { readFile } from 'node:fs/promises';
import writeFileAtomic from 'write-file-atomic';
import { type DType, elementBytes, elementCount, type Tensor, tensorBytes, tensorFromBytes } from './tensor.js';

/** The safetensors format (github.com/huggingface/safetensors): u64 header length, JSON header, tensor bytes. */

const dtypeCodes: Record<DType, string> = {
  float32: 'F32',
  float64: 'F64',
  float16: 'F16',
  int32: 'I32',
  int64: 'I64',
  uint8: 'U8',
  bool: 'BOOL',
};
const dtypeOfCode = new Map(Object.entries(dtypeCodes).map(([dtype, code]) => [code, dtype as DType]));

/** The header may not be larger than the format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;

export interface SafetensorsFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** A safetensors file that is not what the format asks for; the message names the file and the entry. */
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

/**
 * Parses the bytes of a safetensors file; tensors view the given bytes where alignment allows.
 * @throws SafetensorsError when truncated, malformed, holding an unsupported dtype, or when the tensors overlap or leave
 *   bytes between or behind them (the format allows neither).
 */
export function parseSafetensors(bytes: Uint8Array, name = 'safetensors data'): SafetensorsFile {
  const fail = (reason: string): never => {
    throw new SafetensorsError(`${name}: ${reason}`);
  };
  if (bytes.byteLength < 8)
    fail(`${bytes.byteLength} bytes are too few for the 8-byte header length; is it truncated?`);
  const headerBytes = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (headerBytes > BigInt(Math.min(MAX_HEADER_BYTES, bytes.byteLength - 8))) {
    fail(`the header claims ${headerBytes} bytes but the file holds ${bytes.byteLength - 8}; is it truncated?`);
  }
  const dataStart = 8 + Number(headerBytes);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, dataStart)));
  } catch (cause) {
    throw new SafetensorsError(`${name}: the header is not JSON`, { cause });
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) fail('the header is not a JSON object');
  const tensors = new Map<string, Tensor>();
  const ranges: { key: string; start: number; end: number }[] = [];
  let metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(header as object)) {
    if (key === '__metadata__') {
      if (!isMetadata(value)) throw new SafetensorsError(`${name}: __metadata__ must map names to strings`);
      metadata = value;
      continue;
    }
    if (!isEntry(value)) throw new SafetensorsError(`${name}: the header entry of "${key}" is malformed`);
    const dtype = dtypeOfCode.get(value.dtype);
    if (dtype === undefined) throw new SafetensorsError(`${name}: "${key}" has the unsupported dtype ${value.dtype}`);
    const [start, end] = value.data_offsets;
    const expected = elementCount(value.shape) * elementBytes(dtype);
    if (end - start !== expected || dataStart + end > bytes.byteLength) {
      fail(
        `"${key}" [${value.shape.join(', ')}] ${value.dtype} does not fit its offsets ${start}..${end}; is it truncated?`,
      );
    }
    ranges.push({ key, start, end });
    tensors.set(key, tensorFromBytes(dtype, value.shape, bytes.subarray(dataStart + start, dataStart + end)));
  }
  ranges.sort((a, b) => a.start - b.start || a.end - b.end);
  let covered = 0;
  for (const { key, start, end } of ranges) {
    if (start !== covered) {
      fail(`"${key}" starts at ${start}, ${start < covered ? 'inside' : 'after a gap behind'} what ends at ${covered}`);
    }
    covered = end;
  }
  const rest = bytes.byteLength - dataStart - covered;
  if (rest > 0) fail(`${rest} bytes behind the last tensor belong to none`);
  return { metadata, tensors };
}

/**
 * Reads a safetensors file.
 * @throws SafetensorsError for a malformed file; the file system's error when it cannot be read.
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  return parseSafetensors(await readFile(path), path);
}

/**
 * The bytes of a safetensors file; wider dtypes stand first, so that every tensor is aligned.
 * @throws SafetensorsError for a tensor whose name the format keeps for itself.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const ordered = [...tensors].sort(([, a], [, b]) => elementBytes(b.dtype) - elementBytes(a.dtype));
  if (tensors.has('__metadata__')) throw new SafetensorsError('a tensor may not have the name __metadata__');
  const header: Record<string, unknown> = Object.create(null);
  if (Object.keys(metadata).length > 0) header['__metadata__'] = metadata;
  let offset = 0;
  for (const [name, value] of ordered) {
    const end = offset + value.data.byteLength;
    header[name] = { dtype: dtypeCodes[value.dtype], shape: value.shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const dataStart = 8 + Math.ceil(json.byteLength / 8) * 8;
  const bytes = new Uint8Array(dataStart + offset);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(dataStart - 8), true);
  bytes.fill(0x20, 8, dataStart); // the format pads its header with spaces
  bytes.set(json, 8);
  let position = dataStart;
  for (const [, value] of ordered) {
    bytes.set(tensorBytes(value), position);
    position += value.data.byteLength;
  }
  return bytes;
}

/** Writes a safetensors file atomically: beside the target, fsync, rename. */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeFileAtomic(path, Buffer.from(encodeSafetensors(tensors, metadata).buffer));
}
