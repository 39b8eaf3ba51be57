import { type GrpcObject, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import type { ProtoGrpcType } from './generated/vicregl.js';
import { loadOptions } from './loadOptions.js';

/** Full name of the service, as health checks and reflection know it. */
export const serviceName = 'vicregl.v1.VicreglService';

let packageDefinition: PackageDefinition | undefined;

/** The package as proto-loader gives it. Read once per process. */
function loadProtoPackage(): PackageDefinition {
  packageDefinition ??= loadSync('vicregl/v1/vicregl.proto', loadOptions);
  return packageDefinition;
}

/** The service's client constructor; its `service` is the definition with every method's (de)serialisers. */
export function loadVicreglService(): ProtoGrpcType['vicregl']['v1']['VicreglService'] {
  const grpcObject: GrpcObject = loadPackageDefinition(loadProtoPackage());
  return (grpcObject as unknown as ProtoGrpcType).vicregl.v1.VicreglService;
}
