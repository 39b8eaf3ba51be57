import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { AnyDefinition, MethodDefinitions } from '../../proto/methods.js';
import { type Method, type MethodMap, mapHandlers, type ServedMethod } from '../api/method.js';
import type { RawRequest } from '../dispatch/codec.js';
import type { InferenceMethods } from '../kserve/methods.js';
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

/** The same for the methods of the Open Inference Protocol, which are all unary. */
export function inferenceHandlersOf(
  definitions: ServiceDefinition,
  methods: InferenceMethods,
  host: HandlerHost,
): UntypedServiceImplementation {
  // The type InferenceMethods guarantees that every handler has the messages of its method.
  const made = Object.entries<ServedMethod<unknown>>(methods).map(([name, { handle }]) => [
    name,
    unaryHandler(definitions[name] as AnyDefinition, handle as Method<unknown, unknown>, host),
  ]);
  return Object.fromEntries(made) as UntypedServiceImplementation;
}

/** Paths of the methods whose calls all need a place in a model's queue (`EarlyAdmission`). */
export function queueingPaths(
  definitions: ServiceDefinition,
  methods: Readonly<Record<string, Pick<ServedMethod<unknown>, 'admission'>>>,
): string[] {
  return Object.keys(methods).flatMap((name) =>
    methods[name]!.admission === 'image' ? [definitions[name]!.path] : [],
  );
}
