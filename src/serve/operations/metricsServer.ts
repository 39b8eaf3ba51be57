import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { type HttpHandler, type HttpListener, listenHttp, sendText } from './httpListener.js';

/** What /readyz says, as of now. */
export interface Readiness {
  readonly serving: boolean;
  readonly problems: readonly string[];
}

/**
 * HTTP for Prometheus and orchestrators: /metrics, /healthz (200 while the process answers: else restart it), /readyz (200
 * while it takes requests, else 503: send them elsewhere; what is wrong follows, a line each).
 * @param address HOST:PORT; port 0 takes a free one, `off` has none
 * @throws Error naming the address that cannot be bound.
 */
export function startMetricsServer(
  address: string,
  registry: Registry,
  readiness: Readiness,
  logger: Pick<Logger, 'error'>,
): Promise<HttpListener> {
  const answer: HttpHandler = async (request, response) => {
    switch (request.url?.split('?')[0]) {
      case '/metrics':
        sendText(response, 200, await registry.metrics(), { 'content-type': registry.contentType });
        break;
      case '/healthz':
        sendText(response, 200, 'ok\n');
        break;
      case '/readyz':
        sendText(
          response,
          readiness.serving ? 200 : 503,
          [readiness.serving ? 'ready' : 'not ready', ...readiness.problems, ''].join('\n'),
        );
        break;
      default:
        sendText(response, 404, 'not found; there are /metrics, /healthz and /readyz\n');
    }
  };
  return listenHttp(address, 'metrics address', answer, logger);
}
