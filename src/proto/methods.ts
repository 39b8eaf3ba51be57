import type { MethodDefinition } from '@grpc/proto-loader';
import type { VicreglServiceDefinition, VicreglServiceHandlers } from './generated/vicregl/v1/VicreglService.js';

/** The methods of the service as the generated types and the loaded definition say them: names, messages and kinds. */

/** The keys that are written out, without index signatures. */
type NamedKeys<T> = keyof { [K in keyof T as string extends K ? never : number extends K ? never : K]: T[K] };

/** The name of a method, as the contract has it. */
export type MethodName = NamedKeys<VicreglServiceDefinition> & NamedKeys<VicreglServiceHandlers>;

/** The message types of a method, as its sender writes them and as its receiver reads them (`Read`: defaults filled in). */
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

/** What a generated handler is called with tells the kind: a stream that is read, one that is written, both, or neither. */
type CallOf<M extends MethodName> = Parameters<VicreglServiceHandlers[M]>[0];

/** The kind of a method; `never` for a stream of requests with one response, which the service has none of. */
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
 * A method's definition where only its name at run time is known: the compiler has checked every method by its own types where
 * `MethodName` is written out, and cannot follow them through a loop over the names.
 */
export type AnyDefinition = MethodDefinition<unknown, unknown>;

/** The kind of a method by the flags of its definition; the compiler holds the same by `KindOf`. */
function kindOf({ path, requestStream, responseStream }: AnyDefinition): MethodKind {
  if (!requestStream) return responseStream ? 'serverStream' : 'unary';
  if (responseStream) return 'itemStream';
  throw new Error(`${path}: a stream of requests with one response is a kind of method that nothing here handles`);
}

/**
 * Makes one thing of every method of the service, by its kind. @returns the things by the methods' names
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
