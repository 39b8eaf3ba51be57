import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { MethodDefinitions } from '../../proto/methods.js';
import { type MethodMap, mapHandlers } from '../api/method.js';
import type { RawRequest } from '../dispatch/codec.js';
import { itemStreamHandler } from './itemStreamHandler.js';
import type { HandlerHost } from './openCall.js';
import { serverStreamHandler } from './serverStreamHandler.js';
import { unaryHandler } from './unaryHandler.js';

/** The service's definition without (de)serialisation of messages, which the handlers do themselves. */
export function rawDefinition(definition: ServiceDefinition): ServiceDefinition {
  const box = (bytes: Buffer): RawRequest => ({ bytes });
  const pass = (bytes: Buffer): Buffer => bytes;
  return Object.fromEntries(
    Object.entries(definition).map(([name, method]) => [
      name,
      { ...method, requestDeserialize: box, responseSerialize: pass },
    ]),
  );
}

/** The gRPC handlers of all methods, each of the kind of its definition. */
export function handlersOf(
  definitions: MethodDefinitions,
  methods: MethodMap,
  host: HandlerHost,
): UntypedServiceImplementation {
  return mapHandlers<UntypedServiceImplementation[string]>(definitions, methods, {
    unary: (definition, handle) => unaryHandler(definition, handle, host),
    serverStream: (definition, handle) => serverStreamHandler(definition, handle, host),
    itemStream: (definition, handle) => itemStreamHandler(definition, handle, host),
  });
}

/** Paths of the methods whose calls all need a place in a model's queue (`EarlyAdmission`). */
export function queueingPaths(definitions: MethodDefinitions, methods: MethodMap): ReadonlySet<string> {
  const names = Object.keys(methods) as (keyof MethodMap)[];
  return new Set(names.filter((name) => methods[name].admission === 'image').map((name) => definitions[name].path));
}
