import {
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type CallOptions as GrpcCallOptions,
  Metadata,
  type ServiceError,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import type { AnyDefinition } from '../proto/methods.js';
import { isRetried } from './balancing.js';
import { deadlineIn } from './deadline.js';
import { type Phases, phasesIn } from './phases.js';
import type { StartingCalls } from './startingCalls.js';
import type { CallOptions, DuplexStream, ServerStream, Unary } from './transport.js';
import { VicreglError } from './vicreglError.js';
import { whenAborted } from './whenAborted.js';
import { closeUnread, writeAll } from './writeAll.js';

/** The three kinds of calls as promises and async iterables, over the calls of grpc-js. */

/** What calls without an option of their own have. */
export interface CallDefaults {
  /** Deadline in ms of calls with one request. */
  readonly deadlineMs: number;
  /** Whether calls wait for a connection until their deadline. */
  readonly waitForReady: boolean;
  /** Whether calls are repeated that may be. */
  readonly retries: boolean;
  /** Aborted when the client is closed. */
  readonly closed: AbortSignal;
  /** Calls with one request, added when they are made. A stream of requests may wait for its first one for any time. */
  readonly starting: StartingCalls;
}

/** The metadata of a call; grpc-js takes only from there whether it waits for a connection. */
function metadataOf({ waitForReady: asked }: CallOptions, { waitForReady }: CallDefaults): Metadata {
  return new Metadata({ waitForReady: asked ?? waitForReady });
}

/** The error of what is begun on a closed client. */
export function closedError(): VicreglError {
  return new VicreglError('FAILED_PRECONDITION', 'the client is closed; create another one');
}

/** @throws VicreglError `CANCELLED` after the signal's abort, `FAILED_PRECONDITION` after the client's end. */
function checkStart({ signal }: CallOptions, { closed }: CallDefaults): void {
  if (signal?.aborted) {
    throw new VicreglError('CANCELLED', 'the call was aborted before it started', { cause: signal.reason });
  }
  if (closed.aborted) throw closedError();
}

interface EmitsStatus {
  once(event: 'status', listener: (status: StatusObject) => void): unknown;
}

/**
 * Keeps the phases of a call, which arrive with its status. They are reported when the call has settled, within it: what a listener of
 * an event throws would end the process.
 */
function phasesOf({ onPhases }: CallOptions) {
  let phases: Phases | undefined;
  return {
    /** Reads them from the status of this call, and no longer from an earlier attempt. */
    readFrom(call: EmitsStatus): void {
      phases = undefined;
      if (onPhases) call.once('status', ({ metadata }) => (phases = phasesIn(metadata)));
    },
    report(): void {
      if (phases !== undefined) onPhases?.(phases);
    },
  };
}

/** Errors of calls whose response had begun. */
const afterBegin = new WeakSet<object>();

/**
 * Whether the connection of a call was cut after its response had begun. gRPC does not repeat such a call, since a part of the response
 * may have been delivered; of a unary call nothing was. What the service itself answers has trailing metadata. Other statuses of grpc-js are
 * about the message, such as its size.
 */
function wasCut(error: ServiceError): boolean {
  const { code, details, metadata } = error;
  if (!afterBegin.has(error) || metadata.get('x-request-id').length > 0) return false;
  return code === status.UNAVAILABLE || (code === status.INTERNAL && /RST_STREAM/.test(details));
}

/** Calls of a method with one request and one response. */
export function unary(client: Client, definition: AnyDefinition, defaults: CallDefaults): Unary<unknown, unknown> {
  const { path, requestSerialize, responseDeserialize } = definition;

  function attempt(
    request: unknown,
    options: CallOptions,
    grpcOptions: GrpcCallOptions,
    phases: ReturnType<typeof phasesOf>,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      checkStart(options, defaults);
      let began = false;
      let settled = (): void => {};
      const settle = (error: ServiceError | null, response?: unknown) => {
        settled();
        if (error && began) afterBegin.add(error);
        if (error) reject(error);
        else resolve(response);
      };
      const call = client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadataOf(options, defaults),
        grpcOptions,
        settle,
      );
      defaults.starting.add(call);
      call.once('metadata', () => {
        began = true;
      });
      phases.readFrom(call);
      settled = whenAborted(options.signal, () => call.cancel());
    });
  }

  return async (request, options) => {
    const { signal, deadlineMs = defaults.deadlineMs } = options;
    const grpcOptions = deadlineIn(deadlineMs);
    const phases = phasesOf(options);
    try {
      return await attempt(request, options, grpcOptions, phases).catch((error: ServiceError) => {
        const over = signal?.aborted || defaults.closed.aborted;
        if (!defaults.retries || !isRetried(definition) || over || !wasCut(error)) throw error;
        return attempt(request, options, grpcOptions, phases);
      });
    } finally {
      phases.report();
    }
  };
}

/** Limits the read-ahead of a stream to one message: grpc-js would buffer 16, whatever their size. */
function readOneAhead(call: ClientReadableStream<unknown> | ClientDuplexStream<unknown, unknown>): void {
  const state = (call as unknown as { _readableState: { highWaterMark: number } })._readableState;
  state.highWaterMark = 1;
}

/** The messages of a call. Aborting the signal or ending the iteration cancels the call. */
async function* messagesOf<Response>(
  call: ClientReadableStream<Response> | ClientDuplexStream<unknown, Response>,
  options: CallOptions,
): AsyncGenerator<Response, void> {
  const settled = whenAborted(options.signal, () => call.cancel());
  const phases = phasesOf(options);
  phases.readFrom(call);
  try {
    yield* call as AsyncIterable<Response>;
  } finally {
    settled();
    call.cancel();
    phases.report();
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
    const { deadlineMs = defaults.deadlineMs } = options;
    checkStart(options, defaults);
    const call = client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadataOf(options, defaults),
      deadlineIn(deadlineMs),
    );
    defaults.starting.add(call);
    readOneAhead(call);
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
    const { deadlineMs = Number.POSITIVE_INFINITY } = options;
    const start = () => {
      checkStart(options, defaults);
      const metadata = metadataOf(options, defaults);
      return client().makeBidiStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        metadata,
        deadlineIn(deadlineMs),
      );
    };
    let call: ReturnType<typeof start>;
    try {
      call = start();
    } catch (error) {
      closeUnread(requests);
      throw error;
    }
    readOneAhead(call);
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
