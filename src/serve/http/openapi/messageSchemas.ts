import type protobuf from 'protobufjs';
import type { Comments } from '../../../proto/comments.js';
import { type FieldPlan, messagePlan, wideIntegers } from '../../../proto/json/messagePlan.js';

/** A JSON Schema (2020-12, as OpenAPI 3.1 has it). */
export type Schema = Readonly<Record<string, unknown>>;

const integer = (minimum: number, maximum: number): Schema => ({ type: 'integer', minimum, maximum });

const scalars: Readonly<Record<string, Schema>> = {
  string: { type: 'string' },
  bool: { type: 'boolean' },
  bytes: { type: 'string', contentEncoding: 'base64' },
  float: { type: 'number' },
  double: { type: 'number' },
  uint32: integer(0, 2 ** 32 - 1),
  fixed32: integer(0, 2 ** 32 - 1),
  int32: integer(-(2 ** 31), 2 ** 31 - 1),
  sint32: integer(-(2 ** 31), 2 ** 31 - 1),
  sfixed32: integer(-(2 ** 31), 2 ** 31 - 1),
};

const fullName = (type: protobuf.Type | protobuf.Enum): string => type.fullName.replace(/^\./, '');

/** google.rpc.Status in JSON, whose details say which message they are. */
const statusSchema: Schema = {
  type: 'object',
  description: 'An error (google.rpc.Status).',
  properties: {
    code: { type: 'integer', description: 'The gRPC status code.' },
    message: { type: 'string', description: 'What is wrong, with the field, its value and the way out.' },
    details: {
      type: 'array',
      description:
        'A google.rpc.ErrorInfo with the cause for programs (reason), and a google.rpc.RetryInfo where a retry makes sense.',
      items: { type: 'object', properties: { '@type': { type: 'string' } }, required: ['@type'] },
    },
  },
  required: ['code', 'message', 'details'],
};

/** Makes the schemas of messages; those to which a schema refers are made too. */
export interface MessageSchemas {
  /** A reference to the schema of a message. */
  ref(type: protobuf.Type): Schema;
  /** All schemas so far, by the names of their messages. */
  readonly schemas: Readonly<Record<string, Schema>>;
}

/** @param base of references, such as `#/components/schemas/` */
export function createMessageSchemas(comments: Comments, base: string): MessageSchemas {
  const schemas: Record<string, Schema> = {};
  const described = (name: string): Schema => {
    const description = comments.get(name);
    return description === undefined ? {} : { description };
  };

  function enumSchema(type: protobuf.Enum): Schema {
    schemas[type.name] ??= { type: 'string', enum: Object.keys(type.values), ...enumDescription(type) };
    return { $ref: base + type.name };
  }

  function enumDescription(type: protobuf.Enum): Schema {
    const values = Object.keys(type.values).map((value) => {
      const comment = comments.get(`${fullName(type)}.${value}`);
      return comment === undefined ? `- ${value}` : `- ${value}: ${comment}`;
    });
    return { description: [comments.get(fullName(type)) ?? '', ...values].join('\n').trim() };
  }

  function valueSchema(field: FieldPlan): Schema {
    if (field.message) return ref(field.message);
    if (field.enum) return enumSchema(field.enum);
    if (wideIntegers.has(field.kind)) return { type: 'string', pattern: '^-?\\d+$' };
    return scalars[field.kind]!;
  }

  function fieldSchema(type: protobuf.Type, field: FieldPlan): Schema {
    const value = valueSchema(field);
    const shape = field.map
      ? { type: 'object', additionalProperties: value }
      : field.repeated
        ? { type: 'array', items: value }
        : value;
    return { ...shape, ...described(`${fullName(type)}.${field.originalName}`) };
  }

  function ref(type: protobuf.Type): Schema {
    if (schemas[type.name] === undefined) {
      // Before its fields, which may refer to it.
      schemas[type.name] = {};
      schemas[type.name] = type.fullName === '.google.rpc.Status' ? statusSchema : objectSchema(type);
    }
    return { $ref: base + type.name };
  }

  function objectSchema(type: protobuf.Type): Schema {
    const { fields } = messagePlan(type);
    const members = new Map<string, string[]>();
    for (const { name, oneof } of fields) {
      if (oneof !== undefined) members.set(oneof, [...(members.get(oneof) ?? []), name]);
    }
    const exclusive = [...members.values()].map((names) => `At most one of ${names.join(', ')} is set.`);
    const description = [comments.get(fullName(type)), ...exclusive].filter((text) => text !== undefined).join('\n\n');
    return {
      type: 'object',
      ...(description !== '' && { description }),
      properties: Object.fromEntries(fields.map((field) => [field.name, fieldSchema(type, field)])),
      additionalProperties: false,
    };
  }

  return { ref, schemas };
}
