import type { handleUnaryCall } from '@grpc/grpc-js';
import type { Method } from '../api/method.js';
import { unaryAnswerer } from '../dispatch/answerUnary.js';
import { type Definition, methodName, type RawRequest } from '../dispatch/codec.js';
import { type HandlerHost, openCall } from './openCall.js';

/**
 * A gRPC handler for unary methods, on raw bytes. Messages are (de)serialised here because grpc-js answers malformed messages with
 * INTERNAL, and responses over its send limit with an unhelpful message. Every error becomes a status, and is counted and logged;
 * none is unhandled.
 */
export function unaryHandler<Request, Response>(
  definition: Definition<Request, Response>,
  method: Method<Request, Response>,
  host: HandlerHost,
): handleUnaryCall<RawRequest, Buffer> {
  const name = methodName(definition);
  const answer = unaryAnswerer(definition, method, host);

  return (grpcCall, callback) => {
    const open = openCall(grpcCall, name, host);
    answer(grpcCall.request, open.call)
      .then((response) => {
        const responsePermit = host.admission.responseBytes.tryAcquire(response.byteLength);
        open.onceClosed(() => responsePermit.release());
        open.onceClosed(open.startWriteTimer(response.byteLength));
        return response;
      })
      .then(
        (response) => callback(null, response, open.succeed()),
        (error: unknown) => callback(open.fail(error)),
      )
      // Only sending the response can still fail here; an unhandled rejection would end the process.
      .catch(open.unsendable);
  };
}
