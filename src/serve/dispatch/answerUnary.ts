import type { Method } from '../api/method.js';
import { type Call, timed } from '../call/call.js';
import { checkAnswerSize, createMessageCost, type Definition, parseRequest, type RawRequest, unbox } from './codec.js';
import type { CallHost } from './countedCall.js';

/** Answers one encoded message with one, within the limits of the service. Whatever it throws, `toStatus` makes a status of it. */
export type UnaryAnswerer = (request: RawRequest, call: Call) => Promise<Buffer>;

/**
 * The part of a unary call that both transports share: the bytes of the request are counted, the message is parsed, the method
 * answers it, and the response is serialised and its size checked.
 */
export function unaryAnswerer<Request, Response>(
  definition: Definition<Request, Response>,
  method: Method<Request, Response>,
  host: Pick<CallHost, 'admission' | 'messageEntries' | 'maxResponseBytes'>,
): UnaryAnswerer {
  const costOf = createMessageCost(definition, host.messageEntries);
  return async (request, call) => {
    const requestPermit = host.admission.requestBytes.tryAcquire(costOf(request));
    try {
      const message = await timed(call, 'receive', () => parseRequest(definition, unbox(request)));
      const response = await method(message, call);
      call.signal.throwIfAborted();
      return await timed(call, 'encode', () => checkAnswerSize(definition.responseSerialize(response), host));
    } finally {
      requestPermit.release();
    }
  };
}
