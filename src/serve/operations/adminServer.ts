import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { ServeError } from '../call/serveError.js';
import { isLoopback, parseAddress } from '../config/address.js';
import { authenticate } from './auth/bearer.js';
import type { CertificateStore } from './auth/certificates.js';
import type { TokenStore } from './auth/tokenStore.js';
import { type HttpListener, listenHttp, sendText } from './httpListener.js';
import type { Reload } from './reload.js';

export interface AdminOptions {
  /** HOST:PORT; port 0 selects a free port, `off` disables the listener. */
  readonly address: string;
  readonly tls?: CertificateStore | undefined;
  /** If it has a token with `admin`, calls require such a token; otherwise only programs on this machine may call. */
  readonly store?: TokenStore | undefined;
  readonly reload: Reload;
  /** The configuration without secrets. */
  readonly config: () => unknown;
  readonly logger: Logger;
}

function sendJson(response: ServerResponse, code: number, body: unknown): void {
  sendText(response, code, `${JSON.stringify(body, undefined, 2)}\n`, { 'content-type': 'application/json' });
}

/**
 * Detects requests of web pages, since a browser on this machine can reach loopback. Such a request has an Origin header, or a Host
 * header with a name that the owner of the page lets resolve to loopback (DNS rebinding).
 */
function isFromBrowser({ headers }: IncomingMessage): boolean {
  const host = (headers.host ?? '').replace(/:\d+$/, '');
  return headers.origin !== undefined || !isLoopback(host);
}

/** Why a request is rejected; undefined if it is accepted. */
function rejectionOf(
  request: IncomingMessage,
  store: TokenStore | undefined,
): { code: number; text: string } | undefined {
  if (!store) {
    return isFromBrowser(request)
      ? {
          code: 403,
          text: 'without a token, only programs on this machine may call; use 127.0.0.1, [::1] or localhost',
        }
      : undefined;
  }
  try {
    const holder = authenticate(store, request.headers.authorization);
    return holder.admin
      ? undefined
      : { code: 403, text: `the token of ${holder.name} does not have admin: true; use one that has` };
  } catch (error) {
    if (error instanceof ServeError) return { code: 401, text: error.message };
    throw error;
  }
}

/** Maximum length of what a caller has sent in a log line. */
const LOGGED_CHARACTERS = 200;

/**
 * Reloads everything, or the one model that the query names. An unknown key is rejected: a misspelt `model` would otherwise reload
 * everything.
 */
async function answerReload(query: URLSearchParams, response: ServerResponse, reload: Reload): Promise<void> {
  const models = query.getAll('model');
  if (models.length > 1 || query.size > models.length) {
    sendText(response, 400, 'POST /reload accepts at most one model=NAME; without it everything is reloaded\n');
    return;
  }
  try {
    const results = await reload(models[0]);
    sendJson(response, results.every(({ ok }) => ok) ? 200 : 500, results);
  } catch (error) {
    if (!(error instanceof ServeError && error.code === 'unknown_model')) throw error;
    sendText(response, 404, `${error.message}\n`);
  }
}

/** Why the admin calls may not listen at an address: other machines reach it, and no token is required. undefined if they may. */
export function adminProblem(address: string, hasAdmin: boolean): string | undefined {
  if (address === 'off' || hasAdmin || isLoopback(parseAddress(address, 'adminAddress').host)) return undefined;
  return (
    `adminAddress: ${address} is not on loopback, and no token has admin: true; use 127.0.0.1:9465 or off, or create one ` +
    'with "vicregl token --admin"'
  );
}

/**
 * HTTP for operators: POST /reload reloads certificates, tokens and models, GET /config shows the configuration in force.
 * @throws Error naming an address that cannot be bound, or that other machines can reach although no token is required.
 */
export async function startAdminServer(options: AdminOptions): Promise<HttpListener> {
  const { address, tls, store, reload, config, logger } = options;
  const problem = adminProblem(address, store?.hasAdmin ?? false);
  if (problem !== undefined) throw new Error(problem);
  // Decided once: if a reload removes the last admin token, calls still require one.
  const guard = store?.hasAdmin ? store : undefined;
  return listenHttp(
    address,
    'adminAddress',
    async (request, response) => {
      const rejection = rejectionOf(request, guard);
      const [path, query] = (request.url ?? '').split('?', 2);
      const call = `${request.method} ${path}`;
      if (rejection) {
        const { code, text } = rejection;
        logger.warn(
          { call: call.slice(0, LOGGED_CHARACTERS), code, peer: request.socket.remoteAddress },
          'an admin call was rejected',
        );
        sendText(response, code, `${text}\n`, code === 401 ? { 'www-authenticate': 'Bearer' } : {});
        return;
      }
      switch (call) {
        case 'GET /config':
          sendJson(response, 200, config());
          break;
        case 'POST /reload':
          logger.info(
            { peer: request.socket.remoteAddress, query: query?.slice(0, LOGGED_CHARACTERS) },
            'reloading, as requested by an admin call',
          );
          await answerReload(new URLSearchParams(query), response, reload);
          break;
        default:
          sendText(response, 404, 'not found; there are GET /config and POST /reload\n');
      }
    },
    logger,
    tls,
  );
}
