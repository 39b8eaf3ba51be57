import type { MethodDefinition } from '@grpc/proto-loader';
import type { VicreglServiceDefinition, VicreglServiceHandlers } from './generated/vicregl/v1/VicreglService.js';

/** Names, messages and kinds of the service's methods, derived from the generated types and the loaded definition. */

/** The keys of a type without its index signatures. */
type NamedKeys<T> = keyof { [K in keyof T as string extends K ? never : number extends K ? never : K]: T[K] };

/** The name of a method in the contract. */
export type MethodName = NamedKeys<VicreglServiceDefinition> & NamedKeys<VicreglServiceHandlers>;

/** The message types of a method: as the sender writes them, and as the receiver reads them (`Read`: with all defaults). */
export type MessagesOf<M extends MethodName> =
  VicreglServiceDefinition[M] extends MethodDefinition<
    infer Request,
    infer Response,
    infer RequestRead,
    infer ResponseRead
  >
    ? { request: Request; requestRead: RequestRead; response: Response; responseRead: ResponseRead }
    : never;

/**
 * How many messages go each way.
 * - `unary`: one request, one response
 * - `serverStream`: one request, several responses
 * - `itemStream`: requests and responses as they come, one response for each request
 */
export type MethodKind = 'unary' | 'serverStream' | 'itemStream';

/** The first parameter of a generated handler shows the kind: a stream to read, to write, to do both, or none. */
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
 * Calls `make` of its kind for every method of the service. @returns the results by the methods' names
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
