import type { handleUnaryCall } from '@grpc/grpc-js';
import type { Method } from '../api/method.js';
import { type Call, timed } from '../call/call.js';
import {
  checkAnswerSize,
  createMessageCost,
  type Definition,
  methodName,
  parseRequest,
  type RawRequest,
  unbox,
} from './codec.js';
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
  const costOf = createMessageCost(definition, host.messageEntries);

  async function answer(request: RawRequest, call: Call): Promise<Buffer> {
    const requestPermit = host.admission.requestBytes.tryAcquire(costOf(request));
    try {
      const message = await timed(call, 'receive', () => parseRequest(definition, unbox(request)));
      const response = await method(message, call);
      call.signal.throwIfAborted();
      return await timed(call, 'encode', () => checkAnswerSize(definition.responseSerialize(response), host));
    } finally {
      requestPermit.release();
    }
  }

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
      .catch((error: unknown) => host.logger.error({ method: name, err: error }, 'the response could not be sent'));
  };
}
