import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { statusJson } from '../../proto/json/statusJson.js';
import { toStatus } from '../call/errors.js';
import { ServeError } from '../call/serveError.js';
import type { ServeLimits } from '../config/serveLimits.js';
import type { CertificateStore, Certificates } from '../operations/auth/certificates.js';
import { httpStatus } from './httpStatus.js';

/** Maximum ms in which the header of a request has to arrive. */
const HEADERS_MS = 30_000;
/** How long a connection stays open without a request, in ms: more than the 60 s of usual proxies, which would else meet resets. */
const IDLE_MS = 72_000;
/** Time in addition to ours for the body, after which Node closes the connection. */
const SLACK_MS = 5000;

/**
 * The HTTP server, with TLS if certificates are given; they are replaced when they are reloaded. With client authorities, clients need
 * a certificate.
 */
export function createHttpListener(
  handler: RequestListener,
  limits: Pick<ServeLimits, 'metadataBytes' | 'receiveSeconds'>,
  tls: CertificateStore | undefined,
): Server {
  const options = {
    maxHeaderSize: limits.metadataBytes,
    headersTimeout: HEADERS_MS,
    requestTimeout: Math.max(HEADERS_MS, limits.receiveSeconds * 1000) + SLACK_MS,
    keepAliveTimeout: IDLE_MS,
    connectionsCheckingInterval: SLACK_MS,
  };
  if (!tls) return createServer(options, handler);
  const identity = ({ cert, key, clientCa }: Certificates) => ({ cert, key, ...(clientCa && { ca: clientCa }) });
  const secure = createTlsServer(
    { ...options, ...identity(tls.current), requestCert: tls.mutual, rejectUnauthorized: tls.mutual },
    handler,
  );
  tls.onReload((certificates) => secure.setSecureContext(identity(certificates)));
  return secure as unknown as Server;
}

/** The error for a request that Node cannot read. */
function unreadable({ code = '' }: NodeJS.ErrnoException, limits: Pick<ServeLimits, 'metadataBytes'>): ServeError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new ServeError(
      'too_large',
      `the header of the request has more than ${limits.metadataBytes} bytes (metadataBytes); send less`,
    );
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new ServeError('message_late', 'the request did not arrive in time');
  return new ServeError('invalid_argument', 'the request is not HTTP/1.1');
}

/** Answers a request that Node cannot read, and closes its connection. @returns the HTTP status, and the error that it stands for */
export function answerUnreadable(
  error: NodeJS.ErrnoException,
  socket: Socket,
  limits: Pick<ServeLimits, 'metadataBytes'>,
): { readonly code: number; readonly reason: ServeError } {
  const reason = unreadable(error, limits);
  const failure = toStatus(reason);
  const code = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : httpStatus(failure);
  const body = JSON.stringify(statusJson(failure));
  const head = [
    `HTTP/1.1 ${code} Error`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  return { code, reason };
}

/** Bytes of a body that are read to the end after its request was rejected, so that the connection can be used again. */
const DRAINED_BYTES = 1024 * 1024;

/** Whether the connection of a rejected request has to be closed, since too much of its body has not been read. */
export function leavesBody({ complete, headers }: IncomingMessage): boolean {
  if (complete) return false;
  const length = Number(headers['content-length'] ?? Number.NaN);
  return headers['transfer-encoding'] !== undefined || length > DRAINED_BYTES;
}
