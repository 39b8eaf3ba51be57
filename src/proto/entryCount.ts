import protobuf from 'protobufjs';
import { type MessageDefinition, messageType } from './messageType.js';

/**
 * Estimates the memory of a message from its encoded bytes, before it is decoded: an entry of a repeated message may use two bytes on
 * the wire and a hundred in memory.
 */
export type EntryCounter = (bytes: Uint8Array, most: number) => number;

/**
 * A nested message counts as much as this number of scalar fields, or twice as many packed numbers. So does each element of a list of
 * texts or bytes: an empty one uses two bytes on the wire, and becomes an object of its own.
 */
const FIELDS_OF_AN_ENTRY = 8;

/** Maximum nesting depth of messages; the service's messages are less deep. */
const DEPTH = 32;

/** The content of a field: messages of a type, elements of a list of texts or bytes, or packed numbers (bytes of each; 0: varints). */
type FieldPlan = { readonly message: TypePlan } | { readonly element: true } | { readonly packed: 0 | 4 | 8 };

/** Fields of a type by number; other fields are scalars. */
type TypePlan = Map<number, FieldPlan>;

const fixedSizes: Readonly<Record<string, 0 | 4 | 8>> = {
  fixed32: 4,
  sfixed32: 4,
  float: 4,
  fixed64: 8,
  sfixed64: 8,
  double: 8,
};

function planOf(type: protobuf.Type, known: Map<protobuf.Type, TypePlan>): TypePlan {
  const found = known.get(type);
  if (found) return found;
  const plan: TypePlan = new Map();
  known.set(type, plan);
  for (const field of type.fieldsArray) {
    const { resolvedType } = field.resolve();
    // An entry of a map is a message with the key as its field 1 and the value as its field 2.
    if (field.map) {
      const values: TypePlan = new Map();
      if (resolvedType instanceof protobuf.Type) values.set(2, { message: planOf(resolvedType, known) });
      plan.set(field.id, { message: values });
    } else if (resolvedType instanceof protobuf.Type) plan.set(field.id, { message: planOf(resolvedType, known) });
    else if (field.repeated && (field.type === 'bytes' || field.type === 'string'))
      plan.set(field.id, { element: true });
    else if (field.repeated && field.packed) plan.set(field.id, { packed: fixedSizes[field.type] ?? 0 });
  }
  return plan;
}

/** Number of values of a packed field. A varint ends with the byte whose highest bit is 0. */
function packedCount(bytes: Uint8Array, from: number, to: number, size: 0 | 4 | 8): number {
  if (size !== 0) return (to - from) / size;
  let count = 0;
  for (let i = from; i < to; i++) if (bytes[i]! < 0x80) count++;
  return count;
}

/** Creates a counter of the entries of a message; it stops soon after `most`. */
export function entryCounter(definition: MessageDefinition): EntryCounter {
  const plan = planOf(messageType(definition), new Map());

  return (bytes, most) => {
    const reader = protobuf.Reader.create(bytes);
    const mostFields = most * FIELDS_OF_AN_ENTRY;
    let fields = 0;

    function walk(type: TypePlan, end: number, depth: number): void {
      while (reader.pos < end && fields <= mostFields) {
        const tag = reader.uint32();
        const wireType = tag & 7;
        const field = type.get(tag >>> 3);
        fields++;
        if (field === undefined || wireType !== 2) {
          reader.skipType(wireType);
          continue;
        }
        const length = reader.uint32();
        const from = reader.pos;
        const to = from + length;
        if (to > end) return;
        if ('packed' in field) {
          fields += packedCount(bytes, from, to, field.packed) / 2;
        } else {
          fields += FIELDS_OF_AN_ENTRY - 1;
          if ('message' in field && depth < DEPTH) walk(field.message, to, depth + 1);
        }
        reader.pos = to;
      }
    }

    try {
      walk(plan, bytes.byteLength, 0);
    } catch {
      // Invalid messages are rejected by the decoder, with a reason.
    }
    return Math.ceil(fields / FIELDS_OF_AN_ENTRY);
  };
}
