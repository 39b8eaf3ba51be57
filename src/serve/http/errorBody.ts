import type { FastifyReply, FastifyRequest } from 'fastify';
import { statusJson } from '../../proto/json/statusJson.js';
import { status } from '../../proto/status.js';
import type { Status } from '../call/errors.js';
import { errorHeaders, httpStatus } from './httpStatus.js';
import { EMBEDDINGS_PATH } from './routes.js';

/** The kinds of errors that OpenAI's clients know. */
function openaiType(code: number): string {
  if (code === 401) return 'authentication_error';
  if (code === 403) return 'permission_error';
  if (code === 429) return 'rate_limit_error';
  return code < 500 ? 'invalid_request_error' : 'server_error';
}

/** An error in OpenAI's form. The field that it is about begins the message of our errors. */
function openaiBody(failure: Status, code: number): object {
  const param = /^[a-z]\w*(?:\[\d+\])?(?:\.\w+)*(?=: )/.exec(failure.details)?.[0] ?? null;
  const reason =
    failure.code === status.NOT_FOUND && failure.reason === 'UNKNOWN_MODEL' ? 'model_not_found' : failure.reason;
  return { error: { message: failure.details, type: openaiType(code), param, code: reason.toLowerCase() } };
}

/** Whether an OpenAI client sent the request: to its route, or to another verb or a longer path, which have no route. */
function fromOpenai({ url, routeOptions }: FastifyRequest): boolean {
  return routeOptions.config?.errors === 'openai' || `${url.split('?', 1)[0]}/`.startsWith(`${EMBEDDINGS_PATH}/`);
}

/** Sends an error in the form of its route: google.rpc.Status in JSON, or OpenAI's. */
export function sendError(reply: FastifyReply, failure: Status): void {
  const code = httpStatus(failure);
  const body = fromOpenai(reply.request) ? openaiBody(failure, code) : statusJson(failure);
  reply
    .code(code)
    .headers(errorHeaders(failure))
    .header('content-type', 'application/json; charset=utf-8')
    .send(JSON.stringify(body));
}
