import type { MethodDefinition } from '@grpc/proto-loader';
import type { GRPCInferenceServiceDefinition } from './generated/inference/GRPCInferenceService.js';
import type { VicreglServiceDefinition, VicreglServiceHandlers } from './generated/vicregl/v1/VicreglService.js';

/** Names, messages and kinds of the service's methods, derived from the generated types and the loaded definition. */

/** The keys of a type without its index signatures. */
type NamedKeys<T> = keyof { [K in keyof T as string extends K ? never : number extends K ? never : K]: T[K] };

/** The name of a method in the contract. */
export type MethodName = NamedKeys<VicreglServiceDefinition> & NamedKeys<VicreglServiceHandlers>;

/** The message types of a method: for the sender, and for the receiver (`Read`: with all defaults). */
export type MessagesOf<M extends MethodName> = MessagesIn<VicreglServiceDefinition[M]>;

type MessagesIn<Definition> =
  Definition extends MethodDefinition<infer Request, infer Response, infer RequestRead, infer ResponseRead>
    ? { request: Request; requestRead: RequestRead; response: Response; responseRead: ResponseRead }
    : never;

/** The name of a method of the Open Inference Protocol; all of them are unary. */
export type InferenceMethodName = NamedKeys<GRPCInferenceServiceDefinition>;

/** The message types of a method of the Open Inference Protocol. */
export type InferenceMessagesOf<M extends InferenceMethodName> = MessagesIn<GRPCInferenceServiceDefinition[M]>;

/**
 * The number of requests and responses.
 * - `unary`: one request, one response
 * - `serverStream`: one request, several responses
 * - `itemStream`: any number of requests, one response for each request
 */
export type MethodKind = 'unary' | 'serverStream' | 'itemStream';

/** The first parameter of a generated handler shows the kind: a readable, writable or duplex stream, or none. */
type CallOf<M extends MethodName> = Parameters<VicreglServiceHandlers[M]>[0];

/** The kind of a method; `never` for a stream of requests with one response, which is not supported. */
export type KindOf<M extends MethodName> =
  CallOf<M> extends { write: unknown }
    ? CallOf<M> extends { read: unknown }
      ? 'itemStream'
      : 'serverStream'
    : CallOf<M> extends { read: unknown }
      ? never
      : 'unary';

/** The loaded definition of every method, with its (de)serialisers. */
export type MethodDefinitions = Readonly<Pick<VicreglServiceDefinition, MethodName>>;

/**
 * The definition of any method, without the types of its messages: the compiler cannot follow them through a loop over the methods.
 * Types derived from `MethodName` check each method on its own.
 */
export type AnyDefinition = MethodDefinition<unknown, unknown>;

/** The kind of a method by the flags of its definition; `KindOf` is the same at compile time. */
function kindOf({ path, requestStream, responseStream }: AnyDefinition): MethodKind {
  if (!requestStream) return responseStream ? 'serverStream' : 'unary';
  if (responseStream) return 'itemStream';
  throw new Error(`${path}: a stream of requests with one response is not supported`);
}

/**
 * Calls, for every method of the service, the function of `make` for the method's kind. @returns the results by method name
 */
export function mapMethods<T>(
  definitions: MethodDefinitions,
  make: Readonly<Record<MethodKind, (definition: AnyDefinition, name: MethodName) => T>>,
): Record<MethodName, T> {
  const names = Object.keys(definitions) as MethodName[];
  const made = names.map((name) => {
    const definition = definitions[name] as AnyDefinition;
    return [name, make[kindOf(definition)](definition, name)];
  });
  return Object.fromEntries(made) as Record<MethodName, T>;
}
