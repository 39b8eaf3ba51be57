import { type GrpcObject, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import type { ProtoGrpcType as InferenceGrpcType } from './generated/open_inference_grpc.js';
import type { ProtoGrpcType } from './generated/vicregl.js';
import { loadOptions } from './loadOptions.js';

/** Full name of the service, as health checks and reflection know it. */
export const serviceName = 'vicregl.v1.VicreglService';

/** The same of the Open Inference Protocol's service. */
export const inferenceServiceName = 'inference.GRPCInferenceService';

const packages = new Map<string, PackageDefinition>();

/** A file with its imports as proto-loader gives it. Each file is read once per process. */
function loadProtoPackage(file: string): PackageDefinition {
  const found = packages.get(file) ?? loadSync(file, loadOptions);
  packages.set(file, found);
  return found;
}

/** The service's client constructor; its `service` is the definition with every method's (de)serialisers. */
export function loadVicreglService(): ProtoGrpcType['vicregl']['v1']['VicreglService'] {
  const grpcObject: GrpcObject = loadPackageDefinition(loadProtoPackage('vicregl/v1/vicregl.proto'));
  return (grpcObject as unknown as ProtoGrpcType).vicregl.v1.VicreglService;
}

/** The same of the Open Inference Protocol's service. */
export function loadInferenceService(): InferenceGrpcType['inference']['GRPCInferenceService'] {
  const grpcObject: GrpcObject = loadPackageDefinition(loadProtoPackage('inference/open_inference_grpc.proto'));
  return (grpcObject as unknown as InferenceGrpcType).inference.GRPCInferenceService;
}
