import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { parseAddress } from '../transport/address.js';

export interface MetricsServer {
  /** HOST:PORT that really listens. */
  readonly address: string;
  close(): Promise<void>;
}

function send(response: ServerResponse, code: number, body: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(code, { 'content-type': type });
  response.end(body);
}

/**
 * HTTP for Prometheus and orchestrators: /metrics, /healthz (200 while the process answers), /readyz (200 while it takes
 * requests, else 503).
 * @param address HOST:PORT; port 0 takes a free one
 * @throws the system's error when the address cannot be bound.
 */
export async function startMetricsServer(
  address: string,
  registry: Registry,
  isReady: () => boolean,
): Promise<MetricsServer> {
  const { host, port } = parseAddress(address, 'metrics address');
  const server = createServer((request, response) => {
    switch (request.url?.split('?')[0]) {
      case '/metrics':
        registry.metrics().then(
          (text) => send(response, 200, text, registry.contentType),
          (error: unknown) => send(response, 500, `metrics failed: ${String(error)}\n`),
        );
        break;
      case '/healthz':
        send(response, 200, 'ok\n');
        break;
      case '/readyz':
        send(response, isReady() ? 200 : 503, isReady() ? 'ready\n' : 'not ready\n');
        break;
      default:
        send(response, 404, 'not found; there are /metrics, /healthz and /readyz\n');
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host.replace(/^\[|\]$/g, ''), () => {
      server.off('error', reject);
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
