import { fileURLToPath } from 'node:url';
import { type GrpcObject, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync, type Options, type PackageDefinition } from '@grpc/proto-loader';
import type { ProtoGrpcType } from './generated/vicregl.js';

/** The folder of .proto files, three levels above this file in dist/src/proto. */
const protoFolder = fileURLToPath(new URL('../../../proto/', import.meta.url));

/** The same choices as the generated types' (`npm run generate`); bytes arrive as Buffer. */
const loadOptions: Options = { longs: Number, enums: String, defaults: true, oneofs: true, includeDirs: [protoFolder] };

/** Full name of the service, as health checks and reflection know it. */
export const serviceName = 'vicregl.v1.VicreglService';

let packageDefinition: PackageDefinition | undefined;

/** The package as proto-loader gives it: what reflection needs. Read once per process. */
export function loadProtoPackage(): PackageDefinition {
  packageDefinition ??= loadSync('vicregl/v1/vicregl.proto', loadOptions);
  return packageDefinition;
}

/** The service's client constructor; its `service` is the definition with every method's (de)serialisers. */
export function loadVicreglService(): ProtoGrpcType['vicregl']['v1']['VicreglService'] {
  const grpcObject: GrpcObject = loadPackageDefinition(loadProtoPackage());
  return (grpcObject as unknown as ProtoGrpcType).vicregl.v1.VicreglService;
}
