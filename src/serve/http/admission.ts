import type { FastifyRequest } from 'fastify';
import { ServeError } from '../call/serveError.js';
import { isLoopback } from '../config/address.js';
import type { ModelRegistry } from '../inference/registry.js';
import { createAuthenticator } from '../operations/auth/bearer.js';
import type { TokenStore } from '../operations/auth/tokenStore.js';

export interface HttpAdmissionOptions {
  /** Default: everyone may call. */
  readonly store: TokenStore | undefined;
  readonly models: Pick<ModelRegistry, 'full'>;
  /** Origins of web pages that may call. */
  readonly corsOrigins: readonly string[];
  /** Whether only this machine can reach the listener. */
  readonly onLoopback: boolean;
  readonly draining: AbortSignal;
}

/** Decides by its header whether a request is admitted. @throws the error with which it is answered */
export type HttpAdmission = (request: FastifyRequest) => void;

const withoutPort = (host: string): string => host.replace(/:\d+$/, '');

/**
 * Rejects what web pages of other origins send: a page can send a form to any address that the browser reaches, this machine's
 * loopback included, and can give a name of its own to that address (DNS rebinding), by which the browser takes it for the page's.
 * @throws ServeError `forbidden_origin`
 */
function checkOrigin(
  { headers, method }: FastifyRequest,
  { corsOrigins, onLoopback, store }: Pick<HttpAdmissionOptions, 'corsOrigins' | 'onLoopback' | 'store'>,
): void {
  const host = headers.host ?? '';
  if (onLoopback && store === undefined && !isLoopback(withoutPort(host))) {
    throw new ServeError(
      'forbidden_origin',
      `host: ${JSON.stringify(host.slice(0, 100))} is not this machine; without tokens, a listener on loopback is called as ` +
        '127.0.0.1, [::1] or localhost',
    );
  }
  const { origin } = headers;
  if (origin === undefined || method === 'GET' || method === 'HEAD') return;
  const ownPage = origin === `http://${host}` || origin === `https://${host}`;
  if (ownPage || corsOrigins.includes('*') || corsOrigins.includes(origin)) return;
  throw new ServeError(
    'forbidden_origin',
    `origin: pages of ${JSON.stringify(origin.slice(0, 100))} may not call; the operator of the service can allow them (httpCorsOrigins)`,
  );
}

/** The checks of every request, before its body is read. */
export function httpAdmission(options: HttpAdmissionOptions): HttpAdmission {
  const { store, models, draining } = options;
  const authenticate = store && createAuthenticator({ store, openHealth: false });
  return (request) => {
    const { open = false, queueing = false } = request.routeOptions.config ?? {};
    checkOrigin(request, options);
    if (open) return;
    if (draining.aborted) throw new ServeError('shutting_down', 'the server is shutting down; try another one');
    authenticate?.(request.routeOptions.url ?? '', request.headers.authorization, ({ name }) => {
      request.call.identity.caller = name;
    });
    // The handlers do not need the secret, and thus cannot log it.
    delete request.headers.authorization;
    const full = queueing ? models.full : undefined;
    if (full) throw full;
  };
}
