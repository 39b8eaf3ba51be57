import type { MessageTypeDefinition } from '@grpc/proto-loader';
import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor/index.js';

/** The part of a loaded message definition that describes its type. */
export type MessageDefinition = Pick<MessageTypeDefinition<object, object>, 'type' | 'fileDescriptorProtos'>;

/** Keyed by the files of a package, which all its types share. */
const roots = new WeakMap<MessageDefinition['fileDescriptorProtos'], protobuf.Root>();

function rootOf({ fileDescriptorProtos }: MessageDefinition): protobuf.Root {
  const found = roots.get(fileDescriptorProtos);
  if (found) return found;
  const file = fileDescriptorProtos.map((bytes) => descriptor.FileDescriptorProto.decode(bytes));
  // Added by the extension, but not part of its types.
  const { fromDescriptor } = protobuf.Root as unknown as { fromDescriptor(set: object): protobuf.Root };
  const root = fromDescriptor({ file });
  roots.set(fileDescriptorProtos, root);
  return root;
}

/** The type of a loaded message definition; its fields have lowerCamelCase names. */
export function messageType(definition: MessageDefinition): protobuf.Type {
  const { name } = definition.type as { readonly name: string };
  return rootOf(definition).lookupType(name);
}
