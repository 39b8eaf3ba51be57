import type { FastifyReply, FastifyRequest } from 'fastify';
import type { PathValue } from '../../proto/json/fromPaths.js';
import { messageType } from '../../proto/messageType.js';
import type { AnyDefinition } from '../../proto/methods.js';
import type { Method } from '../api/method.js';
import { timed } from '../call/call.js';
import { unaryAnswerer } from '../dispatch/answerUnary.js';
import { answerCall } from './answerCall.js';
import type { HttpHost } from './httpHost.js';
import { jsonLimits, requestMessage } from './requestMessage.js';
import { responseForm } from './responseForm.js';
import type { Route, UnaryMethodName } from './routes.js';

/** The field of requests for the size of the response that the caller can receive: gRPC's clients need a small one. */
const RESPONSE_LIMIT = 'maxResponseBytes';

/** The values of a query, in their order. */
function queryOf(url: string): PathValue[] {
  const at = url.indexOf('?');
  return at === -1 ? [] : [...new URLSearchParams(url.slice(at + 1))];
}

/** Answers requests of one route by the method that gRPC calls. */
export function unaryRoute(
  name: UnaryMethodName,
  { verb, imageField, numpy = false }: Route,
  definition: AnyDefinition,
  method: Method<unknown, unknown>,
  host: HttpHost,
): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  const requestType = messageType(definition.requestType);
  const responseType = messageType(definition.responseType);
  const answer = unaryAnswerer(definition, method, host);
  const limits = jsonLimits(host.messageEntries);
  const isLimited = requestType.fields[RESPONSE_LIMIT] !== undefined;

  return async (request, reply) => {
    // Before any work is done.
    const form = responseForm(responseType, request.headers.accept, numpy);
    await answerCall(request, reply, name, host, async (body, call) => {
      const encoded = await timed(call, 'receive', async () => {
        const query = [...queryOf(request.url), ...Object.entries(request.params as Record<string, string>)];
        // Many clients send a content-type with every request.
        const noBody = verb === 'GET' && body.bytes.byteLength === 0;
        const contentType = noBody ? undefined : request.headers['content-type'];
        const parts = { contentType, body: body.bytes, query, imageField };
        const message = await requestMessage(requestType, parts, limits);
        if (isLimited) message[RESPONSE_LIMIT] ??= host.maxResponseBytes;
        return definition.requestSerialize(message);
      });
      // From here on its message is counted.
      body.release();
      const response = await answer({ bytes: encoded }, call);
      return timed(call, 'encode', () => form(response));
    });
  };
}
