import type { ServerHttp2Stream } from 'node:http2';
import {
  Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import { type CallFacts, setCallFacts } from './callFacts.js';
import { methodName } from './codec.js';
import { requestId, requestIdKey } from './requestId.js';
import { rememberStream } from './resetCall.js';
import { tellUnreadable } from './unreadable.js';

type SentStatus = Parameters<ServerInterceptingCall['sendStatus']>[0];

export interface CallWatcher {
  /** Longest time in ms from a call's metadata to its whole message; streams of messages have none. */
  readonly receiveMs: number;
  /** What is wrong with a call whose message took longer. */
  lateMessage(): Error;
  /** What is wrong with a message that grpc-js refuses, by what that says. */
  largeMessage(details: string): Error;
  /** What such a call is answered with. @param start when its metadata came, as performance.now() */
  turnAway(error: Error, method: string, facts: CallFacts, peer: string, start: number): SentStatus;
  /** A message of a call has arrived. */
  received(method: string, bytes: number): void;
  /** A message is handed to HTTP/2. */
  sent(method: string, bytes: number): void;
  /** A call ended before its message arrived whole, and nothing of ours answered it. */
  withoutMessage(method: string, facts: CallFacts, peer: string): void;
}

/**
 * Tells when grpc-js would end a call because a message is too large, in place of that: it does so beneath all interceptors,
 * and its status would have neither details nor times, and end a stream whose items are being answered. What still comes of
 * the message is dropped.
 * @param refused told what grpc-js says of it
 */
function onRefusedMessage(call: ServerInterceptingCallInterface, refused: (details: string) => void): void {
  const base = call as ServerInterceptingCallInterface & { readonly stream?: ServerHttp2Stream };
  const send = base.sendStatus.bind(base);
  base.sendStatus = (given) => {
    // Ours have details. Messages that are sent have no limit in grpc-js.
    if (given.code !== status.RESOURCE_EXHAUSTED || (given.metadata ?? undefined) !== undefined) {
      send(given);
      return;
    }
    base.stream?.removeAllListeners('data').resume();
    refused(given.details ?? '');
  };
}

/**
 * The interceptor next to the wire. Gives every call its request id, which goes back in the trailing metadata whatever
 * answers; and sees the calls of a service that no handler sees: those whose message is too large, which grpc-js itself ends,
 * and those that are given up before it has arrived whole. grpc-js waits for ever for the others, which are ended here.
 */
export function watchCalls(service: string, watcher: CallWatcher): ServerInterceptor {
  return ({ path, requestStream }, call) => {
    const facts: CallFacts = { requestId: '' };
    const ours = path.startsWith(`/${service}/`);
    const method = methodName({ path });
    const start = performance.now();
    let seen = false;
    let answered = false;
    let ownMetadata: Metadata | undefined;
    let timer: NodeJS.Timeout | undefined;
    const turnAway = (error: Error): void =>
      watched.sendStatus(watcher.turnAway(error, method, facts, call.getPeer(), start));
    const arrived = (): void => {
      seen = true;
      clearTimeout(timer);
    };
    const watched = new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, nextMetadata) {
            if (ours && !requestStream) {
              timer = setTimeout(() => turnAway(watcher.lateMessage()), watcher.receiveMs);
            }
            facts.requestId = requestId(metadata.get(requestIdKey)[0]?.toString());
            setCallFacts(metadata, facts);
            ownMetadata = metadata;
            rememberStream(metadata, call);
            nextMetadata(metadata);
          },
          onReceiveMessage(message: { readonly bytes?: Buffer }, nextMessage) {
            arrived();
            if (ours) watcher.received(method, message.bytes?.byteLength ?? 0);
            nextMessage(message);
          },
          onCancel() {
            clearTimeout(timer);
            if (ours && !seen) watcher.withoutMessage(method, facts, call.getPeer());
          },
        });
      },
      sendMessage(message: Buffer, nextMessage) {
        if (ours) watcher.sent(method, message.byteLength);
        nextMessage(message);
      },
      sendStatus(given, nextStatus) {
        arrived();
        answered = true;
        const trailer = given.metadata ?? new Metadata();
        trailer.set(requestIdKey, facts.requestId);
        nextStatus({ ...given, metadata: trailer });
      },
    });
    if (ours) {
      onRefusedMessage(call, (details) => {
        if (answered) return;
        const error = watcher.largeMessage(details);
        if (!tellUnreadable(ownMetadata, error)) turnAway(error);
      });
    }
    return watched;
  };
}
