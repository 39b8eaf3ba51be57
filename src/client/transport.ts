import type { KindOf, MessagesOf, MethodName } from '../proto/methods.js';
import type { Phases } from './phases.js';

/** How one call is made. */
export interface CallOptions {
  /** Gives up the call when aborted. */
  readonly signal?: AbortSignal;
  /**
   * Longest wait for the answer in ms; the client's own where it is left out. A stream has none of its own: this bounds all
   * of it.
   */
  readonly deadlineMs?: number;
  /** Told, when the answer has come, how long the service spent in each phase; of a stream, in all. Not within a process. */
  readonly onPhases?: (phases: Phases) => void;
}

export type Unary<Request, Response> = (request: Request, options: CallOptions) => Promise<Response>;

/** One request, several messages; ending the iteration early gives up the call. */
export type ServerStream<Request, Response> = (request: Request, options: CallOptions) => AsyncIterable<Response>;

/**
 * Messages both ways: a request is taken from the iterable when the one before has gone out, and an answer is received when
 * the one before has been taken. Ending the iteration early gives up the call.
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

/** A call for every method of the contract, by the method's name with a small first letter. */
export type MethodCalls = {
  readonly [M in MethodName as Uncapitalize<M>]: CallsOf<
    MessagesOf<M>['request'],
    MessagesOf<M>['responseRead']
  >[KindOf<M>];
};

/** A call of some method; `methodCalls` gives each its own messages. */
export type AnyCall = CallsOf<unknown, unknown>[keyof CallsOf<unknown, unknown>];

/** Calls by their methods' names as the client makes them. */
export function methodCalls(calls: Readonly<Record<MethodName, AnyCall>>): MethodCalls {
  const named = Object.entries(calls).map(([name, call]) => [name.charAt(0).toLowerCase() + name.slice(1), call]);
  return Object.fromEntries(named) as MethodCalls;
}

/** Carries messages to the service: over a socket, or within the process. Rejects with what `VicreglError.from` takes. */
export interface Transport extends MethodCalls {
  /** Largest tensor in bytes that this transport can bring back in one message. */
  readonly maxResponseBytes: number;
  /** Resolves when the service can be reached. */
  waitForReady(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}
