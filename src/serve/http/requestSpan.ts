import type { FastifyRequest } from 'fastify';
import type { CallSpan } from '../call/trace.js';
import { httpAttributes } from '../tracing/attributes.js';
import type { Tracing } from '../tracing/tracing.js';

/** The only value of a header. Node joins the values of repeated headers, and then none can be read. */
const oneOf = (value: string | string[] | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined;

/** Begins the server span of a request for a method; other requests, such as those for the page or the health, have none. */
export function requestSpan(
  tracing: Pick<Tracing, 'call'>,
  request: FastifyRequest,
  { requestId, start }: { readonly requestId: string; readonly start: number },
): CallSpan | undefined {
  const { url: route, config } = request.routeOptions;
  const method = config?.rpc;
  if (method === undefined || route === undefined) return undefined;
  const { headers, socket } = request.raw;
  return tracing.call({
    name: `${request.method} ${route}`,
    start,
    headers: { traceparent: oneOf(headers['traceparent']), tracestate: oneOf(headers['tracestate']) },
    attributes: () =>
      httpAttributes({
        ...{ verb: request.method, route, url: request.url, method, requestId, socket },
        scheme: 'encrypted' in socket ? 'https' : 'http',
        httpVersion: request.raw.httpVersion,
        userAgent: headers['user-agent'],
      }),
  });
}
