import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { type HttpHandler, type HttpListener, listenHttp, sendText } from './httpListener.js';
import { scrape } from './scrape.js';

/** The current state, for /readyz. */
export interface Readiness {
  readonly serving: boolean;
  readonly problems: readonly string[];
}

/** The status and the text of /readyz: 200 while the service accepts requests; the text lists the problems, one per line. */
export function readinessAnswer({ serving, problems }: Readiness): { readonly code: number; readonly text: string } {
  return { code: serving ? 200 : 503, text: [serving ? 'ready' : 'not ready', ...problems, ''].join('\n') };
}

/**
 * HTTP for Prometheus and orchestrators: /metrics; /healthz (200 while the process answers; if it does not, restart it); /readyz (200
 * while the service accepts requests, otherwise 503: send them elsewhere; the body lists the problems, one per line).
 * @param address HOST:PORT; port 0 selects a free port, `off` disables the listener
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
      case '/metrics': {
        const { contentType, text } = await scrape(registry, request.headers.accept);
        sendText(response, 200, text, { 'content-type': contentType });
        break;
      }
      case '/healthz':
        sendText(response, 200, 'ok\n');
        break;
      case '/readyz': {
        const { code, text } = readinessAnswer(readiness);
        sendText(response, code, text);
        break;
      }
      default:
        sendText(response, 404, 'not found; there are /metrics, /healthz and /readyz\n');
    }
  };
  return listenHttp(address, 'metrics address', answer, logger);
}
