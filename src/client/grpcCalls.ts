import type {
  ClientDuplexStream,
  ClientReadableStream,
  ClientUnaryCall,
  CallOptions as GrpcCallOptions,
  ServiceError,
  StatusObject,
} from '@grpc/grpc-js';
import { phasesIn } from './phases.js';
import type { CallOptions, DuplexStream, ServerStream, Unary } from './transport.js';
import { VicreglError } from './vicreglError.js';
import { writeAll } from './writeAll.js';

/** The three kinds of calls as promises and async iterables, on top of grpc-js. */

/** grpc-js converts a longer deadline to a 32-bit number of ms, which overflows and expires immediately. */
const MAX_DEADLINE_MS = 2 ** 31 - 1;

function deadlineIn(ms: number): GrpcCallOptions {
  return ms === Number.POSITIVE_INFINITY ? {} : { deadline: Date.now() + Math.min(ms, MAX_DEADLINE_MS) };
}

function abortedBefore(signal: AbortSignal): VicreglError {
  return new VicreglError('CANCELLED', 'the call was aborted before it started', { cause: signal.reason });
}

/** Reports the phases when the call's status arrives. */
function tellPhases(
  call: { on(event: 'status', listener: (status: StatusObject) => void): unknown },
  { onPhases }: CallOptions,
): void {
  if (onPhases) call.on('status', ({ metadata }) => onPhases(phasesIn(metadata)));
}

type StartUnary<Request, Response> = (
  request: Request,
  options: GrpcCallOptions,
  callback: (error: ServiceError | null, response?: Response) => void,
) => ClientUnaryCall;

export function unary<Request, Response>(
  start: StartUnary<Request, Response>,
  defaultDeadlineMs: number,
): Unary<Request, Response> {
  return (request, options) =>
    new Promise((resolve, reject) => {
      const { signal, deadlineMs = defaultDeadlineMs } = options;
      if (signal?.aborted) {
        reject(abortedBefore(signal));
        return;
      }
      const onAbort = () => call.cancel();
      const call = start(request, deadlineIn(deadlineMs), (error, response) => {
        signal?.removeEventListener('abort', onAbort);
        if (error) reject(error);
        else resolve(response as Response);
      });
      tellPhases(call, options);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
}

/** By default, grpc-js streams read 16 messages ahead, whatever their size. */
function readOneAhead(call: ClientReadableStream<unknown> | ClientDuplexStream<never, unknown>): void {
  const state = (call as unknown as { _readableState: { highWaterMark: number } })._readableState;
  state.highWaterMark = 1;
}

/** The messages of a call. The call is cancelled when the signal is aborted or when the consumer stops iterating. */
async function* messagesOf<Response>(
  call: ClientReadableStream<Response> | ClientDuplexStream<never, Response>,
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

type StartServerStream<Request, Response> = (
  request: Request,
  options: GrpcCallOptions,
) => ClientReadableStream<Response>;

export function serverStream<Request, Response>(
  start: StartServerStream<Request, Response>,
  defaultDeadlineMs: number,
): ServerStream<Request, Response> {
  return async function* (request, options) {
    const { signal, deadlineMs = defaultDeadlineMs } = options;
    if (signal?.aborted) throw abortedBefore(signal);
    const call = start(request, deadlineIn(deadlineMs));
    readOneAhead(call);
    tellPhases(call, options);
    yield* messagesOf(call, options);
  };
}

export function duplexStream<Request, Response>(
  start: (options: GrpcCallOptions) => ClientDuplexStream<Request, Response>,
): DuplexStream<Request, Response> {
  return async function* (requests, options) {
    const { signal, deadlineMs = Number.POSITIVE_INFINITY } = options;
    if (signal?.aborted) throw abortedBefore(signal);
    const call = start(deadlineIn(deadlineMs));
    readOneAhead(call as unknown as ClientDuplexStream<never, unknown>);
    tellPhases(call, options);
    const closed = new AbortController();
    let failure: { readonly error: unknown } | undefined;
    const writing = writeAll(call as unknown as ClientDuplexStream<Request, never>, requests, closed.signal).catch(
      (error: unknown) => {
        // The caller's own iterable failed, so the caller gets that error.
        failure = { error };
        call.cancel();
      },
    );
    try {
      yield* messagesOf(call as unknown as ClientDuplexStream<never, Response>, options);
    } catch (error) {
      throw failure ? failure.error : error;
    } finally {
      closed.abort();
      void writing;
    }
  };
}
