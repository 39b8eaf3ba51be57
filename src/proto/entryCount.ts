import type { MessageTypeDefinition } from '@grpc/proto-loader';
import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor/index.js';

/**
 * How much a message of few bytes becomes when it is decoded: an entry of a repeated message may take two bytes on the wire
 * and a hundred in memory. Counted on the wire, before anything is made of it.
 */
export type EntryCounter = (bytes: Uint8Array, most: number) => number;

/** A message that is begun costs as much as so many plain fields, or twice as many packed numbers. */
const FIELDS_OF_AN_ENTRY = 8;

/** How deep messages may be nested; those of the service are less. */
const DEPTH = 32;

/** What a field becomes: messages of a type, numbers in a row (bytes of each; 0: varints), or something else. */
type FieldPlan = { readonly message: TypePlan } | { readonly packed: 0 | 4 | 8 };

/** Fields of a type by their number; those that are not here are plain. */
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
    if (field.map) plan.set(field.id, { message: new Map() });
    else if (resolvedType instanceof protobuf.Type) plan.set(field.id, { message: planOf(resolvedType, known) });
    else if (field.repeated && field.packed) plan.set(field.id, { packed: fixedSizes[field.type] ?? 0 });
  }
  return plan;
}

/** Numbers of a packed field: a varint ends with the byte whose highest bit is clear. */
function packedCount(bytes: Uint8Array, from: number, to: number, size: 0 | 4 | 8): number {
  if (size !== 0) return (to - from) / size;
  let count = 0;
  for (let i = from; i < to; i++) if (bytes[i]! < 0x80) count++;
  return count;
}

type Definition = Pick<MessageTypeDefinition<object, object>, 'type' | 'fileDescriptorProtos'>;

/** By the files of a package, which all its types share. */
const roots = new WeakMap<Definition['fileDescriptorProtos'], protobuf.Root>();

function rootOf({ fileDescriptorProtos }: Definition): protobuf.Root {
  const found = roots.get(fileDescriptorProtos);
  if (found) return found;
  const file = fileDescriptorProtos.map((bytes) => descriptor.FileDescriptorProto.decode(bytes));
  // The extension adds it; its own types do not say so.
  const { fromDescriptor } = protobuf.Root as unknown as { fromDescriptor(set: object): protobuf.Root };
  const root = fromDescriptor({ file });
  roots.set(fileDescriptorProtos, root);
  return root;
}

/** A counter of the entries of a type's messages; it stops soon after `most`. */
export function entryCounter(definition: Definition): EntryCounter {
  const { name } = definition.type as { readonly name: string };
  const plan = planOf(rootOf(definition).lookupType(name), new Map());

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
          if (depth < DEPTH) walk(field.message, to, depth + 1);
        }
        reader.pos = to;
      }
    }

    try {
      walk(plan, bytes.byteLength, 0);
    } catch {
      // What is no message is refused by the decoder, which says why.
    }
    return Math.ceil(fields / FIELDS_OF_AN_ENTRY);
  };
}
