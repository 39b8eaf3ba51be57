import {
  type AnyDefinition,
  type KindOf,
  type MessagesOf,
  type MethodDefinitions,
  type MethodName,
  mapMethods,
} from '../../proto/methods.js';
import type { Call } from '../call/call.js';
import type { Status } from '../call/errors.js';
import type { Phase } from '../call/phases.js';

/** A method with one response. `toStatus` converts whatever it throws to a status. */
export type Method<Request, Response> = (request: Request, call: Call) => Promise<Response>;

/** A response of several messages. */
export interface StreamedAnswer<Response> {
  /** Bytes that the response holds in memory until the caller has received the last message. */
  readonly bytes: number;
  readonly messages: Iterable<Response>;
}

/** A method with a response of several messages; errors as in `Method`. */
export type StreamedMethod<Request, Response> = (request: Request, call: Call) => Promise<StreamedAnswer<Response>>;

/** A method that answers every item of a stream. */
export interface ItemMethod<Item, Response, Answer> {
  /** Answers one item; an error becomes the item's status. */
  answer(item: Item, call: Call): Promise<Response>;
  /** The message with the answer to an item. @param seconds time of each phase */
  wrap(item: Item, response: Response, seconds: ReadonlyMap<Phase, number>): Answer;
  /** The message for an item that failed. @param seconds time of each phase */
  refuse(item: Item, status: Status, seconds: ReadonlyMap<Phase, number>): Answer;
}

/** The handler of each kind of method. */
interface Handlers<Request, Response> {
  unary: Method<Request, Response>;
  serverStream: StreamedMethod<Request, Response>;
  itemStream: ItemMethod<Request, unknown, Response>;
}

/**
 * What a call needs before its message is read. test/e2e/rpcSurface.test.ts compares it with the table of docs/service/api.md.
 * - `image`: a place in a model's queue, since every call of the method has an image for the network. While the queues of all
 *   models are full, the service rejects the call without reading the message.
 * - `none`: nothing. The message determines whether the network runs, and how often.
 */
export type EarlyAdmission = 'image' | 'none';

/** A method of the service. */
export interface ServedMethod<Handler> {
  readonly admission: EarlyAdmission;
  readonly handle: Handler;
}

/** Every method of the contract with its handler, whose kind and messages the generated types determine. */
export type MethodMap = {
  readonly [M in MethodName]: ServedMethod<
    Handlers<MessagesOf<M>['requestRead'], MessagesOf<M>['response']>[KindOf<M>]
  >;
};

type MakeOf<T, Kind extends keyof Handlers<unknown, unknown>> = (
  definition: AnyDefinition,
  handle: Handlers<unknown, unknown>[Kind],
) => T;

/**
 * Calls, for every method, the function of `make` for the method's kind with its definition and handler.
 * @returns the results by method name
 */
export function mapHandlers<T>(
  definitions: MethodDefinitions,
  methods: MethodMap,
  make: { readonly [Kind in keyof Handlers<unknown, unknown>]: MakeOf<T, Kind> },
): Record<MethodName, T> {
  // The type MethodMap guarantees that every handler has the kind and the messages of its method.
  const handleOf = (name: MethodName) => methods[name].handle as never;
  return mapMethods(definitions, {
    unary: (definition, name) => make.unary(definition, handleOf(name)),
    serverStream: (definition, name) => make.serverStream(definition, handleOf(name)),
    itemStream: (definition, name) => make.itemStream(definition, handleOf(name)),
  });
}
