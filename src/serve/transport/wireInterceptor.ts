import type { ServerHttp2Stream } from 'node:http2';
import { Metadata, ServerInterceptingCall, type ServerInterceptor, type status } from '@grpc/grpc-js';
import type { CallSpan } from '../call/trace.js';
import { requestIdKey } from '../dispatch/callIdentity.js';
import { methodName } from '../dispatch/codec.js';
import { type CallContext, createCallContext } from './callContext.js';
import { dropIncoming, interceptOwnStatus, isWithinMessage, joinSmallParts, streamUnder } from './grpcInternals.js';

type SentStatus = Parameters<ServerInterceptingCall['sendStatus']>[0];

/**
 * Milliseconds to wait for a reset after the caller has ended a stream, or a call without a whole message. Node's client ends a call
 * right before it cancels it by a reset: in that case the call was cancelled.
 */
const RESET_MS = 50;

/** The error of a call's end: it came before a message or within a message, or after a second message. */
export type WrongEnd = 'none' | 'part' | 'second';

/** A call that is rejected before a handler sees it. */
export interface RejectedCall {
  readonly method: string;
  readonly path: string;
  /** Undefined if the metadata of the call has not arrived. */
  readonly context: CallContext | undefined;
  readonly peer: string;
}

/** A service whose calls are watched; those of others (health, reflection) only get their context. */
export interface WireService {
  readonly name: string;
  /** The protocol in log lines, if it is not our own. */
  readonly protocol?: string;
}

/** What the innermost interceptor knows of a call when its metadata arrives. */
export interface CallArrival {
  readonly requestId: string;
  /** As performance.now(). */
  readonly start: number;
  readonly stream: ServerHttp2Stream | undefined;
}

/** Receives the reports of the interceptor, and supplies the errors with which it ends calls. */
export interface WireObserver {
  /** Maximum milliseconds from the metadata of a call to its whole message. Does not apply to streams of requests. */
  readonly receiveMs: number;
  /** The error of a call whose message took longer. */
  lateMessage(): Error;
  /**
   * The error of a call that grpc-js itself would end because of its message or the metadata about it.
   * @param begun whether a handler has begun to answer the call
   * @returns undefined if the status of grpc-js is to be sent unchanged
   */
  ownStatus(code: status, details: string, begun: boolean): Error | undefined;
  /** The error of a call that its caller ended too early or too late. */
  wrongEnd(end: WrongEnd): Error;
  /** Counts and logs a rejected call. @param start when its metadata arrived, as performance.now() */
  reject(error: Error, call: RejectedCall, start: number): SentStatus;
  /** Begins the server span of a call, if calls are traced. */
  traced?(path: string, metadata: Metadata, arrival: CallArrival): CallSpan;
  /** A message of a call has arrived. */
  received(method: string, bytes: number): void;
  /** A message is passed to HTTP/2. */
  sent(method: string, bytes: number): void;
}

/**
 * The innermost interceptor. It creates the context of every call, and adds the request id to the trailing metadata of every
 * response. It also ends calls that no handler can answer: the message is too large, cannot be read, is incomplete, or is late.
 * grpc-js would end the first two without our details, accept the third as a whole message, and wait for the fourth without limit.
 */
export function wireInterceptor(services: readonly WireService[], observer: WireObserver): ServerInterceptor {
  return ({ path, requestStream }, call) => {
    const service = services.find(({ name }) => path.startsWith(`/${name}/`));
    const ours = service !== undefined;
    const method = methodName({ path });
    const start = performance.now();
    const stream = streamUnder(call);
    joinSmallParts(call);
    let messages = 0;
    let answered = false;
    let begun = requestStream;
    let context: CallContext | undefined;
    let timer: NodeJS.Timeout | undefined;

    /** Ends the call, or lets its handler end it when the earlier items are answered. */
    function refuse(error: Error): void {
      if (answered) return;
      if (context?.onMessageError) context.onMessageError(error);
      else watched.sendStatus(observer.reject(error, { method, path, context, peer: call.getPeer() }, start));
    }

    const watched = new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, nextMetadata) {
            if (ours && !requestStream) timer = setTimeout(() => refuse(observer.lateMessage()), observer.receiveMs);
            context = createCallContext(metadata, stream, {
              protocol: service?.protocol,
              ...(ours && { begin: (requestId) => observer.traced?.(path, metadata, { requestId, start, stream }) }),
            });
            nextMetadata(metadata);
          },
          onReceiveMessage(message: { readonly bytes?: Buffer }, nextMessage) {
            messages++;
            if (ours) observer.received(method, message.bytes?.byteLength ?? 0);
            if (ours && !requestStream && messages > 1) refuse(observer.wrongEnd('second'));
            else nextMessage(message);
          },
          onReceiveHalfClose(nextHalfClose) {
            clearTimeout(timer);
            // Node ends the readable side of a stream also when the stream was reset.
            if (ours && stream?.closed) return;
            const wrong = isWithinMessage(call) ? 'part' : !requestStream && messages === 0 ? 'none' : undefined;
            if (!ours || (!requestStream && !wrong)) {
              begun = true;
              nextHalfClose();
              return;
            }
            // Where a reset follows, `onCancel` clears the timer.
            timer = setTimeout(() => {
              if (stream?.closed || answered) return;
              if (wrong) refuse(observer.wrongEnd(wrong));
              else nextHalfClose();
            }, RESET_MS);
          },
          onCancel() {
            clearTimeout(timer);
          },
        });
      },
      sendMessage(message: Buffer, nextMessage) {
        if (ours) observer.sent(method, message.byteLength);
        nextMessage(message);
      },
      sendStatus(given, nextStatus) {
        clearTimeout(timer);
        answered = true;
        const trailer = given.metadata ?? new Metadata();
        trailer.set(requestIdKey, context?.requestId ?? '');
        nextStatus({ ...given, metadata: trailer });
      },
    });
    if (ours) {
      interceptOwnStatus(call, (code, details) => {
        const error = observer.ownStatus(code, details, begun);
        if (!error) return false;
        if (stream) dropIncoming(stream);
        refuse(error);
        return true;
      });
    }
    return watched;
  };
}
