import { readFileSync } from 'node:fs';
import type { PackageDefinition } from '@grpc/proto-loader';
import protobuf from 'protobufjs';

/** FileDescriptorSet.file, and the wire type of a message in it. */
const FILE_TAG = (1 << 3) | 2;

/**
 * The FileDescriptorProtos of all services of the server (its own, health, reflection) and of their imports, as written by the
 * compiler (`npm run generate`): with names, imports and options. @throws Error if the set was not built.
 */
export function readFileDescriptors(): Buffer[] {
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
 * The same in the form that @grpc/reflection expects. The output of proto-loader is not usable: it joins files by package and drops
 * their names, imports and options, so that no descriptor pool accepts them (grpc-node issue 2595).
 */
export function reflectedPackage(): PackageDefinition {
  const files = { fileDescriptorProtos: readFileDescriptors() };
  // The only part of a definition that it reads.
  return { files } as unknown as PackageDefinition;
}
