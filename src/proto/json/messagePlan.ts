import protobuf from 'protobufjs';

/** A field of a message as JSON names and writes it. */
export interface FieldPlan {
  /** Name in lowerCamelCase, in JSON and in the objects of proto-loader. */
  readonly name: string;
  /** Name in the .proto file. */
  readonly originalName: string;
  /** The scalar type of protobufjs, such as `uint32`; `enum` or `message`. */
  readonly kind: string;
  readonly repeated: boolean;
  /** A map<string, ...>, of which only scalar values are supported. */
  readonly map: boolean;
  /** Whether it is present or absent apart from its value: messages, members of a oneof, `optional` fields. */
  readonly hasPresence: boolean;
  /** Name of the oneof of which it is a member, in the .proto file's sense: not that of an `optional` field. */
  readonly oneof: string | undefined;
  readonly message: protobuf.Type | undefined;
  readonly enum: protobuf.Enum | undefined;
}

/** The fields of a message. */
export interface MessagePlan {
  readonly fields: readonly FieldPlan[];
  /** By name and by original name. */
  readonly byKey: ReadonlyMap<string, FieldPlan>;
}

const plans = new WeakMap<protobuf.Type, MessagePlan>();

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function fieldPlan(field: protobuf.Field): FieldPlan {
  const { resolvedType } = field.resolve();
  const message = resolvedType instanceof protobuf.Type ? resolvedType : undefined;
  const member = field.partOf ?? undefined;
  return {
    name: field.name,
    originalName: snakeCase(field.name),
    kind: message ? 'message' : resolvedType ? 'enum' : field.type,
    repeated: field.repeated,
    map: field.map,
    hasPresence: !field.repeated && !field.map && (message !== undefined || member !== undefined),
    // An `optional` field is the only member of a oneof that begins with an underscore.
    oneof: member === undefined || member.name.startsWith('_') ? undefined : member.name,
    message,
    enum: resolvedType instanceof protobuf.Enum ? resolvedType : undefined,
  };
}

/** The plan of a type, made once. */
export function messagePlan(type: protobuf.Type): MessagePlan {
  const found = plans.get(type);
  if (found) return found;
  const fields = type.fieldsArray.map(fieldPlan);
  const byKey = new Map(
    fields.flatMap((field) => [[field.originalName, field] as const, [field.name, field] as const]),
  );
  const plan = { fields, byKey };
  plans.set(type, plan);
  return plan;
}

/** The fields that a message has, for an error. */
export function knownFields(type: protobuf.Type): string {
  const names = messagePlan(type).fields.map(({ name }) => name);
  return names.length === 0 ? 'it has no fields' : `it has ${names.join(', ')}`;
}

/** The scalar types that proto3 JSON writes as strings, since a double has 53 bits. */
export const wideIntegers: ReadonlySet<string> = new Set(['int64', 'uint64', 'sint64', 'fixed64', 'sfixed64']);
