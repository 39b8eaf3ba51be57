import {
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type CallOptions as GrpcCallOptions,
  Metadata,
  type ServiceError,
  type StatusObject,
} from '@grpc/grpc-js';
import type { AnyDefinition } from '../proto/methods.js';
import { phasesIn } from './phases.js';
import type { CallOptions, DuplexStream, ServerStream, Unary } from './transport.js';
import { VicreglError } from './vicreglError.js';
import { writeAll } from './writeAll.js';

/** The three kinds of calls as promises and async iterables, over the calls of grpc-js. */

/** grpc-js converts a deadline to a 32-bit number of ms; a longer one overflows and expires immediately. */
const MAX_DEADLINE_MS = 2 ** 31 - 1;

function deadlineIn(ms: number): GrpcCallOptions {
  return ms === Number.POSITIVE_INFINITY ? {} : { deadline: Date.now() + Math.min(ms, MAX_DEADLINE_MS) };
}

/** What calls without an option of their own have. */
export interface CallDefaults {
  /** Deadline in ms of calls with one request. */
  readonly deadlineMs: number;
  /** Whether calls wait for a connection until their deadline. */
  readonly waitForReady: boolean;
}

/** The metadata of a call; grpc-js takes only from there whether it waits for a connection. */
function metadataOf({ waitForReady: asked }: CallOptions, { waitForReady }: CallDefaults): Metadata {
  return new Metadata({ waitForReady: asked ?? waitForReady });
}

function abortedBefore(signal: AbortSignal): VicreglError {
  return new VicreglError('CANCELLED', 'the call was aborted before it started', { cause: signal.reason });
}

/** Reports the phases when the call's status arrives. */
function reportPhases(
  call: { on(event: 'status', listener: (status: StatusObject) => void): unknown },
  { onPhases }: CallOptions,
): void {
  if (onPhases) call.on('status', ({ metadata }) => onPhases(phasesIn(metadata)));
}

/** Calls of a method with one request and one response. */
export function unary(client: Client, definition: AnyDefinition, defaults: CallDefaults): Unary<unknown, unknown> {
  const { path, requestSerialize, responseDeserialize } = definition;
  return (request, options) =>
    new Promise((resolve, reject) => {
      const { signal, deadlineMs = defaults.deadlineMs } = options;
      if (signal?.aborted) {
        reject(abortedBefore(signal));
        return;
      }
      const onAbort = () => call.cancel();
      const settle = (error: ServiceError | null, response?: unknown) => {
        signal?.removeEventListener('abort', onAbort);
        if (error) reject(error);
        else resolve(response);
      };
      const metadata = metadataOf(options, defaults);
      const grpcOptions = deadlineIn(deadlineMs);
      const call = client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        grpcOptions,
        settle,
      );
      reportPhases(call, options);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
}

/** Limits the read-ahead of a stream to one message: grpc-js would buffer 16, whatever their size. */
function readOneAhead(call: ClientReadableStream<unknown> | ClientDuplexStream<unknown, unknown>): void {
  const state = (call as unknown as { _readableState: { highWaterMark: number } })._readableState;
  state.highWaterMark = 1;
}

/** The messages of a call. Aborting the signal or ending the iteration cancels the call. */
async function* messagesOf<Response>(
  call: ClientReadableStream<Response> | ClientDuplexStream<unknown, Response>,
  { signal }: CallOptions,
): AsyncGenerator<Response, void> {
  const onAbort = () => call.cancel();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    yield* call as AsyncIterable<Response>;
  } finally {
    signal?.removeEventListener('abort', onAbort);
    call.cancel();
  }
}

/** Calls of a method with one request and several responses. */
export function serverStream(
  client: Client,
  definition: AnyDefinition,
  defaults: CallDefaults,
): ServerStream<unknown, unknown> {
  const { path, requestSerialize, responseDeserialize } = definition;
  return async function* (request, options) {
    const { signal, deadlineMs = defaults.deadlineMs } = options;
    if (signal?.aborted) throw abortedBefore(signal);
    const call = client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadataOf(options, defaults),
      deadlineIn(deadlineMs),
    );
    readOneAhead(call);
    reportPhases(call, options);
    yield* messagesOf(call, options);
  };
}

/** Calls of a method with messages both ways. */
export function duplexStream(
  client: () => Client,
  definition: AnyDefinition,
  defaults: CallDefaults,
): DuplexStream<unknown, unknown> {
  const { path, requestSerialize, responseDeserialize } = definition;
  return async function* (requests, options) {
    const { signal, deadlineMs = Number.POSITIVE_INFINITY } = options;
    if (signal?.aborted) throw abortedBefore(signal);
    const call = client().makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      metadataOf(options, defaults),
      deadlineIn(deadlineMs),
    );
    readOneAhead(call);
    reportPhases(call, options);
    const closed = new AbortController();
    let failure: { readonly error: unknown } | undefined;
    const writing = writeAll(call, requests, closed.signal).catch((error: unknown) => {
      // The caller's own iterable failed: the caller should see that error.
      failure = { error };
      call.cancel();
    });
    try {
      yield* messagesOf(call, options);
    } catch (error) {
      throw failure ? failure.error : error;
    } finally {
      closed.abort();
      void writing;
    }
  };
}
