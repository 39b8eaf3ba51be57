import type { Registry } from 'prom-client';
import { type HttpListener, listenHttp, sendText } from './httpListener.js';

/**
 * HTTP for Prometheus and orchestrators: /metrics, /healthz (200 while the process answers: else restart it), /readyz (200
 * while it takes requests, else 503: send them elsewhere).
 * @param address HOST:PORT; port 0 takes a free one, `off` has none
 * @throws Error naming the address that cannot be bound.
 */
export function startMetricsServer(address: string, registry: Registry, isReady: () => boolean): Promise<HttpListener> {
  return listenHttp(address, 'metrics address', async (request, response) => {
    switch (request.url?.split('?')[0]) {
      case '/metrics':
        sendText(response, 200, await registry.metrics(), { 'content-type': registry.contentType });
        break;
      case '/healthz':
        sendText(response, 200, 'ok\n');
        break;
      case '/readyz':
        sendText(response, isReady() ? 200 : 503, isReady() ? 'ready\n' : 'not ready\n');
        break;
      default:
        sendText(response, 404, 'not found; there are /metrics, /healthz and /readyz\n');
    }
  });
}
