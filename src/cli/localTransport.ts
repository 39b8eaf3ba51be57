import type { Transport, Unary } from '../client/transport.js';
import { loadVicreglService } from '../proto/load.js';
import { toStatus } from '../serve/errors.js';
import { defaultServeLimits } from '../serve/limits.js';
import type { Method } from '../serve/method.js';
import type { Service } from '../serve/service.js';

interface Codec<Request, RequestOutput, Response, ResponseOutput> {
  requestSerialize(request: Request): Buffer;
  requestDeserialize(bytes: Buffer): RequestOutput;
  responseSerialize(response: Response): Buffer;
  responseDeserialize(bytes: Buffer): ResponseOutput;
}

/** Messages pass through their bytes, so that defaults and checks are those of the socket. */
function unary<Request, RequestOutput, Response, ResponseOutput>(
  codec: Codec<Request, RequestOutput, Response, ResponseOutput>,
  method: Method<RequestOutput, Response>,
): Unary<Request, ResponseOutput> {
  return async (request, { signal }) => {
    try {
      const call = { signal: signal ?? new AbortController().signal, observe: () => {} };
      const response = await method(codec.requestDeserialize(codec.requestSerialize(request)), call);
      return codec.responseDeserialize(codec.responseSerialize(response));
    } catch (error) {
      const status = toStatus(error);
      // Without a server there is no log to look into: an unexpected error shows itself.
      throw error instanceof Error && status.details.startsWith('internal error')
        ? error
        : Object.assign(new Error(status.details, { cause: error }), status);
    }
  };
}

/** Answers a client from a service in this process. Closing the transport closes the service. */
export function createLocalTransport(service: Service): Transport {
  const definition = loadVicreglService().service;
  const { methods } = service;
  return {
    embed: unary(definition.Embed, methods.Embed),
    extractFeatures: unary(definition.ExtractFeatures, methods.ExtractFeatures),
    match: unary(definition.Match, methods.Match),
    getModel: unary(definition.GetModel, methods.GetModel),
    maxResponseBytes: defaultServeLimits.maxResponseBytes,
    waitForReady: async () => {},
    close: () => service.close(),
  };
}
