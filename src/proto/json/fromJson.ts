import leven from 'leven';
import type protobuf from 'protobufjs';
import { base64Bytes } from './base64.js';
import { type JsonError, jsonError, shown } from './jsonError.js';
import { type FieldPlan, knownFields, messagePlan } from './messagePlan.js';

/** A message as the serialisers of proto-loader take it. */
export type PlainMessage = Record<string, unknown>;

const integerBounds: Readonly<Record<string, readonly [number, number]>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  sint32: [-(2 ** 31), 2 ** 31 - 1],
  sfixed32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  fixed32: [0, 2 ** 32 - 1],
  // proto-loader gives 64-bit integers as numbers.
  int64: [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  sint64: [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  sfixed64: [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  uint64: [0, Number.MAX_SAFE_INTEGER],
  fixed64: [0, Number.MAX_SAFE_INTEGER],
};

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const special: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
};

/** The largest finite float32. */
const FLOAT_MAX = 2 ** 128 - 2 ** 104;

/** A number, or a text in the form of a JSON number; undefined for anything else. */
function numberIn(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  return typeof value === 'string' && NUMBER.test(value) ? Number(value) : undefined;
}

function readInteger(kind: string, value: unknown, path: string): number {
  const [least, most] = integerBounds[kind]!;
  const number = numberIn(value);
  if (number === undefined || !Number.isInteger(number) || number < least || number > most) {
    throw jsonError(path, `${shown(value)} is not a whole number from ${least} to ${most}`);
  }
  // -0 would be encoded as ten bytes.
  return number + 0;
}

function readReal(kind: string, value: unknown, path: string): number {
  if (typeof value === 'string' && Object.hasOwn(special, value)) return special[value]!;
  const number = numberIn(value);
  if (number === undefined || !Number.isFinite(number)) throw jsonError(path, `${shown(value)} is not a number`);
  if (kind === 'float' && Math.abs(Math.fround(number)) > FLOAT_MAX) {
    throw jsonError(path, `${shown(value)} is more than a float32 can hold`);
  }
  return number;
}

function readBytes(value: unknown, path: string): Uint8Array {
  // From a part of a form, or from a body that is an image.
  if (value instanceof Uint8Array) return value;
  if (typeof value !== 'string') throw jsonError(path, `${shown(value)} is not base64; send the bytes as base64 text`);
  const bytes = base64Bytes(value);
  if (bytes) return bytes;
  const remedy = value.startsWith('data:')
    ? 'send what follows the comma of the data URI'
    : 'send the bytes as base64 (or base64url) text';
  throw jsonError(path, `${shown(value)} is not base64; ${remedy}`);
}

function readEnum(type: protobuf.Enum, value: unknown, path: string): string {
  const { values, valuesById } = type;
  if (typeof value === 'string' && Object.hasOwn(values, value)) return value;
  const number = typeof value === 'number' ? value : undefined;
  const name = number === undefined || !Object.hasOwn(valuesById, number) ? undefined : valuesById[number];
  if (name !== undefined) return name;
  throw jsonError(path, `${shown(value)} is none of ${Object.keys(values).join(', ')}`);
}

/** A value of a field that is not repeated, and not null. */
function readValue(field: FieldPlan, value: unknown, path: string): unknown {
  if (field.message) return readMessage(field.message, value, path);
  if (field.enum) return readEnum(field.enum, value, path);
  switch (field.kind) {
    case 'string':
      if (typeof value === 'string') return value;
      throw jsonError(path, `${shown(value)} is not a text`);
    case 'bool':
      if (typeof value === 'boolean') return value;
      throw jsonError(path, `${shown(value)} is neither true nor false`);
    case 'bytes':
      return readBytes(value, path);
    case 'float':
    case 'double':
      return readReal(field.kind, value, path);
    default:
      return readInteger(field.kind, value, path);
  }
}

function readMap(field: FieldPlan, value: unknown, path: string): Record<string, unknown> {
  if (!isObject(value)) throw jsonError(path, `${shown(value)} is not an object`);
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [key, readValue(field, entry, `${path}.${key.slice(0, 64)}`)]),
  );
}

function readList(field: FieldPlan, value: unknown, path: string): unknown[] {
  if (!Array.isArray(value)) throw jsonError(path, `${shown(value)} is not a list`);
  return value.map((entry: unknown, i) => readValue(field, entry, `${path}[${i}]`));
}

function readField(field: FieldPlan, value: unknown, path: string): unknown {
  if (field.map) return readMap(field, value, path);
  return field.repeated ? readList(field, value, path) : readValue(field, value, path);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function unknownField(type: protobuf.Type, key: string, path: string): JsonError {
  const names = messagePlan(type).fields.map(({ name }) => name);
  const [nearest] = names
    .map((name) => ({ name, distance: leven(name.toLowerCase(), key.slice(0, 64).toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(2, name.length / 3))
    .sort((a, b) => a.distance - b.distance);
  const hint = nearest ? `did you mean ${nearest.name}?` : knownFields(type);
  return jsonError(under(path, key.slice(0, 64)), `${type.name} has no such field; ${hint}`);
}

const under = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`);

function readMessage(type: protobuf.Type, value: unknown, path: string): PlainMessage {
  if (!isObject(value)) throw jsonError(path, `${shown(value)} is not an object (${type.name})`);
  const { byKey } = messagePlan(type);
  const message: PlainMessage = {};
  const seen = new Map<string, string>();
  for (const key of Object.keys(value)) {
    const field = byKey.get(key);
    if (field === undefined) throw unknownField(type, key, path);
    // By both of its names.
    const slot = field.name;
    if (seen.has(slot)) throw jsonError(under(path, key), `is the same field as ${seen.get(slot)}; set it once`);
    seen.set(slot, key);
    const given = value[key];
    if (given === null || given === undefined) continue;
    if (field.oneof !== undefined) {
      const oneof = `oneof ${field.oneof}`;
      const other = seen.get(oneof);
      if (other !== undefined) throw jsonError(under(path, key), `excludes ${other}; set one of the two`);
      seen.set(oneof, key);
    }
    message[field.name] = readField(field, given, under(path, key));
  }
  return message;
}

/**
 * Reads proto3 JSON (https://protobuf.dev/programming-guides/json/): fields by their lowerCamelCase or original name, bytes in base64
 * or base64url, integers of 64 bits also as text (here up to 2^53), enums by name or number, null as absent. A field of type bytes may
 * also be bytes. The depth of messages bounds that of the recursion.
 * @param json as JSON.parse returns it
 * @throws JsonError with the path of the field, its value and what is accepted; a field that the message does not have is an error.
 */
export function messageFromJson(type: protobuf.Type, json: unknown): PlainMessage {
  return readMessage(type, json, '');
}
