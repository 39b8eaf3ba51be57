import { readFileSync } from 'node:fs';
import type { PackageDefinition } from '@grpc/proto-loader';
import protobuf from 'protobufjs';

/** FileDescriptorSet.file, and the wire type of a message in it. */
const FILE_TAG = (1 << 3) | 2;

/**
 * The FileDescriptorProtos of all that the server answers (the service, health, reflection) and of what these import, as the
 * compiler wrote them (`npm run generate`): with their names, imports and options. @throws Error where the set was not built.
 */
function readFileDescriptors(): Buffer[] {
  const reader = protobuf.Reader.create(readFileSync(new URL('./descriptors.binpb', import.meta.url)));
  const files: Buffer[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === FILE_TAG) files.push(Buffer.from(reader.bytes()));
    else reader.skipType(tag & 7);
  }
  return files;
}

/**
 * The same in the form that @grpc/reflection takes. What proto-loader makes of the protos would not do: it joins files by their
 * packages and loses their names, imports and options, so that no descriptor pool accepts them (grpc-node issue 2595).
 */
export function reflectedPackage(): PackageDefinition {
  const files = { fileDescriptorProtos: readFileDescriptors() };
  // Of a definition it reads this alone.
  return { files } as unknown as PackageDefinition;
}
