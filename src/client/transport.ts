import type { KindOf, MessagesOf, MethodName } from '../proto/methods.js';
import type { Phases } from './phases.js';

/** Options of one call. */
export interface CallOptions {
  /** Aborting it cancels the call. */
  readonly signal?: AbortSignal;
  /**
   * Deadline in ms; Infinity for none. Default: the client's for calls with one request, none for streams of requests, where it bounds the whole
   * stream.
   */
  readonly deadlineMs?: number;
  /** Whether the call waits for a connection until its deadline. Default: the client's. Of no effect in-process. */
  readonly waitForReady?: boolean;
  /**
   * Called once, before the call settles, with the time that the service spent in each phase; what it throws rejects the call. Not called
   * by the in-process transport, nor for a stream that the caller leaves early.
   */
  readonly onPhases?: (phases: Phases) => void;
}

export type Unary<Request, Response> = (request: Request, options: CallOptions) => Promise<Response>;

/** One request, several responses. Ending the iteration early cancels the call. */
export type ServerStream<Request, Response> = (request: Request, options: CallOptions) => AsyncIterable<Response>;

/**
 * Messages both ways: the transport reads a request from the iterable when the previous one has been sent, and receives a
 * response when the caller has taken the previous one. Ending the iteration early cancels the call.
 */
export type DuplexStream<Request, Response> = (
  requests: AsyncIterable<Request>,
  options: CallOptions,
) => AsyncIterable<Response>;

/** How a method of each kind is called. */
interface CallsOf<Request, Response> {
  unary: Unary<Request, Response>;
  serverStream: ServerStream<Request, Response>;
  itemStream: DuplexStream<Request, Response>;
}

/** A call for every method of the contract, named as the method with a lower-case first letter. */
export type MethodCalls = {
  readonly [M in MethodName as Uncapitalize<M>]: CallsOf<
    MessagesOf<M>['request'],
    MessagesOf<M>['responseRead']
  >[KindOf<M>];
};

/** A call of any method, without the types of its messages. */
export type AnyCall = CallsOf<unknown, unknown>[keyof CallsOf<unknown, unknown>];

/** Renames calls from the names of their methods to those of `MethodCalls`, and gives them their types. */
export function methodCalls(calls: Readonly<Record<MethodName, AnyCall>>): MethodCalls {
  const named = Object.entries(calls).map(([name, call]) => [name.charAt(0).toLowerCase() + name.slice(1), call]);
  return Object.fromEntries(named) as MethodCalls;
}

/** Calls the service over a socket or within the process. Rejects with errors that `VicreglError.from` converts. */
export interface Transport extends MethodCalls {
  /** Largest tensor in bytes that this transport can receive in one message. */
  readonly maxResponseBytes: number;
  /** Resolves when the service can be reached. */
  waitForReady(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}
