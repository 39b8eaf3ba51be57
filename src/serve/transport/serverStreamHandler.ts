import type { handleServerStreamingCall } from '@grpc/grpc-js';
import type { StreamedMethod } from '../api/method.js';
import { timed } from '../call/call.js';
import {
  createMessageCost,
  type Definition,
  methodName,
  parseRequest,
  type RawRequest,
  unbox,
} from '../dispatch/codec.js';
import { writeMessage } from '../dispatch/writeStall.js';
import { type HandlerHost, openCall } from './openCall.js';

/**
 * A gRPC handler, on raw bytes, for methods whose response has several messages. Each message is encoded when HTTP/2 has sent the
 * previous one. The bytes of the whole response are held until the caller has received it.
 */
export function serverStreamHandler<Request, Response>(
  definition: Definition<Request, Response>,
  method: StreamedMethod<Request, Response>,
  host: HandlerHost,
): handleServerStreamingCall<RawRequest, Buffer> {
  const name = methodName(definition);
  const costOf = createMessageCost(definition, host.messageEntries);
  return (stream) => {
    const open = openCall(stream, name, host);
    const { call } = open;

    async function answer(): Promise<void> {
      const requestPermit = host.admission.requestBytes.tryAcquire(costOf(stream.request));
      try {
        const request = await timed(call, 'receive', () => parseRequest(definition, unbox(stream.request)));
        const { bytes, messages } = await method(request, call);
        const responsePermit = host.admission.responseBytes.tryAcquire(bytes);
        open.onceClosed(() => responsePermit.release());
        for (const message of messages) {
          const encoded = await timed(call, 'encode', () => definition.responseSerialize(message));
          await writeMessage(stream, encoded, open);
        }
      } finally {
        requestPermit.release();
      }
    }

    answer()
      .then(
        () => stream.end(open.succeed()),
        (error: unknown) => {
          const failure = open.fail(error);
          // A closed stream already has its status, and an error without a listener would be thrown.
          if (!stream.cancelled) stream.emit('error', failure);
        },
      )
      .catch(open.unsendable);
  };
}
