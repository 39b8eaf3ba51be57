import { Metadata, ServerInterceptingCall, type ServerInterceptor, type status } from '@grpc/grpc-js';
import { type CallContext, createCallContext, requestIdKey } from './callContext.js';
import { methodName } from './codec.js';
import { dropIncoming, interceptOwnStatus, isWithinMessage, streamUnder } from './grpcInternals.js';

type SentStatus = Parameters<ServerInterceptingCall['sendStatus']>[0];

/**
 * How long after its caller's end a stream, or a call without a whole message, may still be reset, in ms. Node's client cancels
 * a call by a reset and ends it right before: of the two it is the reset that was meant.
 */
const RESET_MS = 50;

/** What is wrong with the end of a call: it came before a message, or within one; or a second message came before it. */
export type WrongEnd = 'none' | 'part' | 'second';

/** A call that is rejected before a handler sees it. */
export interface RejectedCall {
  readonly method: string;
  /** Undefined where the metadata of the call has not arrived. */
  readonly context: CallContext | undefined;
  readonly peer: string;
}

/** What the interceptor reports, and the errors that it answers with. */
export interface WireObserver {
  /** Longest time in ms from the metadata of a call to its whole message. Calls that stream messages have no limit. */
  readonly receiveMs: number;
  /** The error of a call whose message took longer. */
  lateMessage(): Error;
  /**
   * The error of a call that grpc-js would end by itself, for its message or for the metadata about the message.
   * @param begun whether a handler answers the call
   * @returns undefined where the status of grpc-js is sent as it is
   */
  ownStatus(code: status, details: string, begun: boolean): Error | undefined;
  /** The error of a call that its caller ended too early, or not early enough. */
  wrongEnd(end: WrongEnd): Error;
  /** Counts and logs a rejected call. @param start when its metadata arrived, as performance.now() */
  reject(error: Error, call: RejectedCall, start: number): SentStatus;
  /** A message of a call has arrived. */
  received(method: string, bytes: number): void;
  /** A message is handed to HTTP/2. */
  sent(method: string, bytes: number): void;
}

/**
 * The interceptor next to the wire. It creates the context of every call, whose request id goes into the trailing metadata
 * whatever the answer is. It also ends those calls of a service that no handler could answer: the message is too large, cannot
 * be read, ends in its middle, or is late. grpc-js would end the first two without our details, take the third for a whole
 * message, and wait for the fourth without limit.
 */
export function wireInterceptor(service: string, observer: WireObserver): ServerInterceptor {
  return ({ path, requestStream }, call) => {
    const ours = path.startsWith(`/${service}/`);
    const method = methodName({ path });
    const start = performance.now();
    const stream = streamUnder(call);
    let messages = 0;
    let answered = false;
    let begun = requestStream;
    let context: CallContext | undefined;
    let timer: NodeJS.Timeout | undefined;

    /** Ends the call, or has its handler end it when the items before this message are answered. */
    function refuse(error: Error): void {
      if (answered) return;
      if (context?.onMessageError) context.onMessageError(error);
      else watched.sendStatus(observer.reject(error, { method, context, peer: call.getPeer() }, start));
    }

    const watched = new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, nextMetadata) {
            if (ours && !requestStream) timer = setTimeout(() => refuse(observer.lateMessage()), observer.receiveMs);
            context = createCallContext(metadata, stream);
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
