import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import { parseAddress } from '../config/address.js';
import type { CertificateStore } from './auth/certificates.js';

/** A small HTTP server in addition to the gRPC service. */
export interface HttpListener {
  /** HOST:PORT that is bound, or `off`. */
  readonly address: string;
  close(): Promise<void>;
}

/** Answers one request; an error is answered with 500 and logged. */
export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** The listener of the address `off`. */
const none: HttpListener = { address: 'off', close: async () => {} };

export function sendText(
  response: ServerResponse,
  code: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(code, { 'content-type': 'text/plain; charset=utf-8', ...headers });
  response.end(body);
}

/**
 * Listens for HTTP, or for HTTPS if TLS is given.
 * @param address HOST:PORT, port 0 selects a free port; or `off`
 * @param option names the address in errors
 * @throws Error naming the option and the address that cannot be bound.
 */
export async function listenHttp(
  address: string,
  option: string,
  handler: HttpHandler,
  logger: Pick<Logger, 'error'>,
  tls?: CertificateStore,
): Promise<HttpListener> {
  if (address === 'off') return none;
  const { host, port } = parseAddress(address, option);
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    handler(request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendText(response, 500, 'internal error; the log has the details\n');
      logger.error({ listener: option, path: request.url, err: error }, 'an HTTP request failed');
    });
  };
  const secure = tls && createTlsServer({ cert: tls.current.cert, key: tls.current.key }, onRequest);
  const server = secure ?? createServer(onRequest);
  tls?.onReload(({ cert, key }) => secure?.setSecureContext({ cert, key }));
  await new Promise<void>((resolve, reject) => {
    const onError = (cause: Error): void =>
      reject(new Error(`${option}: cannot listen on ${address}: ${cause.message}`, { cause }));
    server.once('error', onError);
    server.listen(port, host.replace(/^\[|\]$/g, ''), () => {
      server.off('error', onError);
      resolve();
    });
  });
  return {
    address: `${host}:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
