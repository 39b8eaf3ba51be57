import { Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { type CallFacts, setCallFacts } from './callFacts.js';
import { methodName } from './codec.js';
import { requestId, requestIdKey } from './requestId.js';
import { rememberStream } from './resetCall.js';

export interface CallWatcher {
  /** Longest time in ms from a call's metadata to its whole message; streams of messages have none. */
  readonly receiveMs: number;
  /** What a call is answered with whose message took longer. */
  lateMessage(method: string, facts: CallFacts, peer: string): Parameters<ServerInterceptingCall['sendStatus']>[0];
  /** A message of a call has arrived. */
  received(method: string, bytes: number): void;
  /** A message is handed to HTTP/2. */
  sent(method: string, bytes: number): void;
  /** A call ended before its message arrived whole, and nothing of ours answered it. */
  withoutMessage(method: string, facts: CallFacts, peer: string): void;
}

/**
 * The interceptor next to the wire. Gives every call its request id, which goes back in the trailing metadata whatever
 * answers; and sees the calls of a service that no handler sees: grpc-js itself ends those whose message is too large, and
 * those that are given up before it has arrived whole. It waits for ever for the others, which are ended here.
 */
export function watchCalls(service: string, watcher: CallWatcher): ServerInterceptor {
  return ({ path, requestStream }, call) => {
    const facts: CallFacts = { requestId: '' };
    const ours = path.startsWith(`/${service}/`);
    const method = methodName({ path });
    let seen = false;
    let timer: NodeJS.Timeout | undefined;
    const arrived = (): void => {
      seen = true;
      clearTimeout(timer);
    };
    const watched = new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, nextMetadata) {
            if (ours && !requestStream) {
              const late = () => watched.sendStatus(watcher.lateMessage(method, facts, call.getPeer()));
              timer = setTimeout(late, watcher.receiveMs);
            }
            facts.requestId = requestId(metadata.get(requestIdKey)[0]?.toString());
            setCallFacts(metadata, facts);
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
      sendStatus(status, nextStatus) {
        arrived();
        const trailer = status.metadata ?? new Metadata();
        trailer.set(requestIdKey, facts.requestId);
        nextStatus({ ...status, metadata: trailer });
      },
    });
    return watched;
  };
}
