import descriptor from 'protobufjs/ext/descriptor/index.js';
import { readFileDescriptors } from './descriptors.js';

/** Comments of the .proto files by the full names of messages, fields (`package.Message.field_name`), enums and their values. */
export type Comments = ReadonlyMap<string, string>;

interface Named {
  readonly name: string;
}

interface MessageNode extends Named {
  readonly field: readonly Named[];
  readonly nestedType: readonly MessageNode[];
  readonly enumType: readonly EnumNode[];
}

interface EnumNode extends Named {
  readonly value: readonly Named[];
}

interface FileNode extends Named {
  readonly package: string;
  readonly messageType: readonly MessageNode[];
  readonly enumType: readonly EnumNode[];
  readonly sourceCodeInfo?: {
    readonly location: readonly { readonly path: readonly number[]; readonly leadingComments?: string }[];
  };
}

/** Field numbers of descriptor.proto, of which the paths of locations consist. */
const MESSAGES = 4;
const ENUMS = 5;
const FIELDS = 2;
const NESTED_MESSAGES = 3;
const NESTED_ENUMS = 4;
const ENUM_VALUES = 2;

/** One paragraph for each block of a comment. */
function paragraphs(comment: string): string {
  return comment
    .split(/\n\s*\n/)
    .map((block) =>
      block
        .split('\n')
        .map((line) => line.trim())
        .join(' ')
        .trim(),
    )
    .filter((block) => block !== '')
    .join('\n\n');
}

/** Reads the comments of all messages and enums. @throws Error if the descriptor set was not built (`npm run generate`). */
export function readComments(): Comments {
  const comments = new Map<string, string>();
  for (const bytes of readFileDescriptors()) {
    const file = descriptor.FileDescriptorProto.decode(bytes) as unknown as FileNode;
    const byPath = new Map(
      (file.sourceCodeInfo?.location ?? []).map(({ path, leadingComments }) => [path.join('.'), leadingComments]),
    );
    const note = (path: readonly number[], name: string): void => {
      const comment = byPath.get(path.join('.'));
      if (comment) comments.set(name, paragraphs(comment));
    };
    const noteEnum = ({ name, value }: EnumNode, path: readonly number[], scope: string): void => {
      note(path, `${scope}.${name}`);
      for (const [i, member] of value.entries()) note([...path, ENUM_VALUES, i], `${scope}.${name}.${member.name}`);
    };
    const noteMessage = (message: MessageNode, path: readonly number[], scope: string): void => {
      const name = `${scope}.${message.name}`;
      note(path, name);
      for (const [i, field] of message.field.entries()) note([...path, FIELDS, i], `${name}.${field.name}`);
      for (const [i, nested] of message.nestedType.entries()) noteMessage(nested, [...path, NESTED_MESSAGES, i], name);
      for (const [i, nested] of message.enumType.entries()) noteEnum(nested, [...path, NESTED_ENUMS, i], name);
    };
    for (const [i, message] of file.messageType.entries()) noteMessage(message, [MESSAGES, i], file.package);
    for (const [i, type] of file.enumType.entries()) noteEnum(type, [ENUMS, i], file.package);
  }
  return comments;
}
