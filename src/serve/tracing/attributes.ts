import type { SpanOutcome } from '../call/trace.js';
import type { SpanAttributes } from './tracing.js';

/**
 * Attributes of server spans by OpenTelemetry's semantic conventions 1.45: those of RPC for gRPC calls, those of HTTP for requests of
 * the HTTP listener. Attributes of the service itself begin with `vicregl.`.
 */

/** The part of a socket that spans show. */
export interface SpanSocket {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
}

/** Maximum length of what callers write, in characters. */
const MAX_TEXT = 256;

function networkAttributes(socket: SpanSocket | undefined): SpanAttributes {
  return {
    'server.address': socket?.localAddress,
    'server.port': socket?.localPort,
    'client.address': socket?.remoteAddress,
    'client.port': socket?.remotePort,
    'network.peer.address': socket?.remoteAddress,
    'network.peer.port': socket?.remotePort,
  };
}

/** The fully qualified name of a gRPC method, `package.Service/Method`, which also is the name of its span. */
export const rpcMethod = (path: string): string => path.replace(/^\//, '');

/** @param path of the method, such as /package.Service/Method */
export function grpcAttributes(path: string, requestId: string, socket: SpanSocket | undefined): SpanAttributes {
  return {
    'rpc.system.name': 'grpc',
    'rpc.method': rpcMethod(path),
    'vicregl.request_id': requestId,
    ...networkAttributes(socket),
  };
}

export interface HttpRequestFacts {
  readonly verb: string;
  /** Pattern of the route, such as /v1/models/:model. */
  readonly route: string;
  /** Path and query; the query is not recorded. */
  readonly url: string;
  readonly scheme: 'http' | 'https';
  readonly httpVersion: string;
  readonly userAgent: string | undefined;
  /** Name of the method that answers. */
  readonly method: string;
  readonly requestId: string;
  readonly socket: SpanSocket;
}

export function httpAttributes(request: HttpRequestFacts): SpanAttributes {
  return {
    'http.request.method': request.verb,
    'http.route': request.route,
    'url.path': request.url.split('?', 1)[0]!.slice(0, MAX_TEXT),
    'url.scheme': request.scheme,
    'network.protocol.version': request.httpVersion,
    'user_agent.original': request.userAgent?.slice(0, MAX_TEXT),
    'vicregl.method': request.method,
    'vicregl.request_id': request.requestId,
    ...networkAttributes(request.socket),
  };
}

/** The gRPC statuses that are errors of a server; the others are errors of its callers. */
const serverErrors: ReadonlySet<string> = new Set([
  'UNKNOWN',
  'DEADLINE_EXCEEDED',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
]);

/** The attributes of an end, and whether it is an error of the server. */
export function outcomeAttributes({ code, reason, httpStatus }: SpanOutcome): {
  readonly attributes: SpanAttributes;
  readonly isError: boolean;
} {
  const isError = httpStatus === undefined ? serverErrors.has(code) : httpStatus >= 500;
  const status =
    httpStatus === undefined
      ? { 'rpc.response.status_code': code }
      : { 'http.response.status_code': httpStatus, 'vicregl.status': code };
  return {
    attributes: {
      ...status,
      'vicregl.reason': reason,
      ...(isError && { 'error.type': httpStatus === undefined ? code : String(httpStatus) }),
    },
    isError,
  };
}
