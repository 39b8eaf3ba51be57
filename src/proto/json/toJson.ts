import type protobuf from 'protobufjs';
import { factsIn } from '../statusDetails.js';
import { type FieldPlan, messagePlan, wideIntegers } from './messagePlan.js';
import { statusJson } from './statusJson.js';

/** A decoded message of protobufjs: only fields that were sent are own properties. */
export type Decoded = Readonly<Record<string, unknown>>;

function bytesText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** The shortest number that is the same in float32: 0.485, not 0.48500001430511475. Nine digits suffice for all. */
function shortest(value: number): number {
  for (const digits of [7, 8]) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return Number(value.toPrecision(9));
}

/** A value of a field that is not repeated. */
function valueJson(field: FieldPlan, value: unknown): unknown {
  if (field.message) return messageJson(field.message, value as Decoded);
  // A number that a newer server knows is written as it is.
  if (field.enum) return field.enum.valuesById[value as number] ?? value;
  if (field.kind === 'bytes') return bytesText(value as Uint8Array);
  if (wideIntegers.has(field.kind)) return String(value);
  if (typeof value !== 'number') return value;
  if (!Number.isFinite(value)) return String(value);
  return field.kind === 'float' ? shortest(value) : value;
}

/** The JSON of a field that was not sent, and that has no presence. */
function defaultJson(field: FieldPlan): unknown {
  if (field.map) return {};
  if (field.repeated) return [];
  if (field.enum) return field.enum.valuesById[0];
  switch (field.kind) {
    case 'string':
    case 'bytes':
      return '';
    case 'bool':
      return false;
    default:
      return wideIntegers.has(field.kind) ? '0' : 0;
  }
}

function fieldJson(field: FieldPlan, value: unknown): unknown {
  if (field.map) {
    return Object.fromEntries(Object.entries(value as Decoded).map(([key, entry]) => [key, valueJson(field, entry)]));
  }
  return field.repeated ? (value as unknown[]).map((entry) => valueJson(field, entry)) : valueJson(field, value);
}

/** A decoded message as JSON; see `messageToJson`. */
export function messageJson(type: protobuf.Type, message: Decoded): Record<string, unknown> {
  // Its details are messages of any type: those that the service sends are known.
  if (type.fullName === '.google.rpc.Status') {
    const { code, message: details, details: packed } = message as { code: number; message: string; details: object[] };
    return statusJson({ code, details, ...(factsIn(packed) ?? { reason: '' }) });
  }
  const json: Record<string, unknown> = {};
  for (const field of messagePlan(type).fields) {
    const sent = Object.hasOwn(message, field.name);
    if (sent) json[field.name] = fieldJson(field, message[field.name]);
    else if (!field.hasPresence) json[field.name] = defaultJson(field);
  }
  return json;
}

/**
 * An encoded message as proto3 JSON, with lowerCamelCase names, bytes in base64 and enums by name. Fields without presence are
 * written also if they have their default, so that a program in JavaScript reads 0 and not undefined.
 */
export function messageToJson(type: protobuf.Type, encoded: Uint8Array): Record<string, unknown> {
  return messageJson(type, type.decode(encoded) as unknown as Decoded);
}
