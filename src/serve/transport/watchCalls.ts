import {
  Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import { type CallFacts, setCallFacts } from './callFacts.js';
import { rememberStream, streamUnder } from './callStream.js';
import { methodName } from './codec.js';
import { requestId, requestIdKey } from './requestId.js';
import { tellUnreadable } from './unreadable.js';

type SentStatus = Parameters<ServerInterceptingCall['sendStatus']>[0];

/**
 * How long after its caller's end a stream, or a call without a whole message, may still be reset, in ms. Node's client, which
 * gives up a call by a reset, ends it right before; of the two it is the reset that was meant.
 */
const RESET_MS = 50;

/** How a call that takes one message did not bring it: it ended before one, or within one, or brought another. */
export type WrongEnd = 'none' | 'part' | 'second';

export interface CallWatcher {
  /** Longest time in ms from a call's metadata to its whole message; streams of messages have none. */
  readonly receiveMs: number;
  /** What is wrong with a call whose message took longer. */
  lateMessage(): Error;
  /**
   * What is wrong with a message, or with the metadata about it, by the status with which grpc-js would end the call by itself.
   * @param begun whether a handler answers the call
   * @returns nothing where that status can go out as it is
   */
  refusedBeneath(code: status, details: string, begun: boolean): Error | undefined;
  /** What is wrong with a call that its caller ended too early, or not early enough. */
  wrongEnd(end: WrongEnd): Error;
  /** Counts and logs a call that is turned away. @param start when its metadata came, as performance.now() */
  turnAway(
    error: Error,
    call: { readonly method: string; readonly metadata: Metadata | undefined; readonly peer: string },
    start: number,
  ): SentStatus;
  /** A message of a call has arrived. */
  received(method: string, bytes: number): void;
  /** A message is handed to HTTP/2. */
  sent(method: string, bytes: number): void;
}

/**
 * Tells when grpc-js would end a call for what came of it (a message too large or not to be decompressed, a deadline that is no
 * time), in place of that: it does so beneath all interceptors, and its status would have neither details nor times, and end a
 * stream whose items are being answered. What still comes of the message is dropped.
 * @param refused told the status; returns whether the call is ended by another one
 */
function onRefusedBeneath(
  call: ServerInterceptingCallInterface,
  refused: (code: status, details: string) => boolean,
): void {
  const send = call.sendStatus.bind(call);
  call.sendStatus = (given) => {
    // Ours have details.
    const beneath = given.code !== status.OK && (given.metadata ?? undefined) === undefined;
    if (!beneath || !refused(given.code, given.details ?? '')) send(given);
  };
}

/** grpc-js' reader of a call's messages; its first state is that between two of them. */
function isWithinMessage(call: ServerInterceptingCallInterface): boolean {
  const { decoder } = call as unknown as { readonly decoder?: { readonly readState: number } };
  return decoder !== undefined && decoder.readState !== 0;
}

/**
 * The interceptor next to the wire. Gives every call its request id, which goes back in the trailing metadata whatever
 * answers; and ends the calls of a service that no handler could answer: those whose message is too large or cannot be read,
 * ends within itself, or does not come in time. grpc-js would end the first without our details, take the second for whole,
 * and wait for ever for the third.
 */
export function watchCalls(service: string, watcher: CallWatcher): ServerInterceptor {
  return ({ path, requestStream }, call) => {
    const facts: CallFacts = { requestId: '' };
    const ours = path.startsWith(`/${service}/`);
    const method = methodName({ path });
    const start = performance.now();
    const stream = streamUnder(call);
    let messages = 0;
    let answered = false;
    let begun = requestStream;
    let ownMetadata: Metadata | undefined;
    let timer: NodeJS.Timeout | undefined;

    /** Ends the call, or has its handler end it when it has answered what came before. */
    function refuse(error: Error): void {
      if (answered || tellUnreadable(ownMetadata, error)) return;
      watched.sendStatus(watcher.turnAway(error, { method, metadata: ownMetadata, peer: call.getPeer() }, start));
    }

    const watched = new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, nextMetadata) {
            if (ours && !requestStream) timer = setTimeout(() => refuse(watcher.lateMessage()), watcher.receiveMs);
            facts.requestId = requestId(metadata.get(requestIdKey)[0]?.toString());
            setCallFacts(metadata, facts);
            ownMetadata = metadata;
            rememberStream(metadata, call);
            nextMetadata(metadata);
          },
          onReceiveMessage(message: { readonly bytes?: Buffer }, nextMessage) {
            messages++;
            if (ours) watcher.received(method, message.bytes?.byteLength ?? 0);
            if (ours && !requestStream && messages > 1) refuse(watcher.wrongEnd('second'));
            else nextMessage(message);
          },
          onReceiveHalfClose(nextHalfClose) {
            clearTimeout(timer);
            // Node ends what is read of a stream also when it was reset.
            if (ours && stream?.closed) return;
            const wrong = isWithinMessage(call) ? 'part' : !requestStream && messages === 0 ? 'none' : undefined;
            if (!ours || (!requestStream && !wrong)) {
              begun = true;
              nextHalfClose();
              return;
            }
            // What then is the end comes with `onCancel`, where the reset that belongs to it is on its way.
            timer = setTimeout(() => {
              if (stream?.closed || answered) return;
              if (wrong) refuse(watcher.wrongEnd(wrong));
              else nextHalfClose();
            }, RESET_MS);
          },
          onCancel() {
            clearTimeout(timer);
          },
        });
      },
      sendMessage(message: Buffer, nextMessage) {
        if (ours) watcher.sent(method, message.byteLength);
        nextMessage(message);
      },
      sendStatus(given, nextStatus) {
        clearTimeout(timer);
        answered = true;
        const trailer = given.metadata ?? new Metadata();
        trailer.set(requestIdKey, facts.requestId);
        nextStatus({ ...given, metadata: trailer });
      },
    });
    if (ours) {
      onRefusedBeneath(call, (code, details) => {
        const error = watcher.refusedBeneath(code, details, begun);
        if (!error) return false;
        stream?.removeAllListeners('data').resume();
        refuse(error);
        return true;
      });
    }
    return watched;
  };
}
