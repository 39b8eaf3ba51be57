import { setMaxListeners } from 'node:events';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import cors from '@fastify/cors';
import fastify, { type FastifyRequest } from 'fastify';
import { loadVicreglService } from '../../proto/load.js';
import type { AnyDefinition } from '../../proto/methods.js';
import { statusName } from '../../proto/status.js';
import type { Method, MethodMap } from '../api/method.js';
import { toStatus } from '../call/errors.js';
import { ServeError } from '../call/serveError.js';
import { isLoopback, parseAddress } from '../config/address.js';
import type { ServeLimits } from '../config/serveLimits.js';
import { logFields, requestIdKey, safeRequestId } from '../dispatch/callIdentity.js';
import type { CallHost } from '../dispatch/countedCall.js';
import { createInFlight } from '../dispatch/inFlight.js';
import type { ModelRegistry } from '../inference/registry.js';
import type { CertificateStore } from '../operations/auth/certificates.js';
import type { TokenStore } from '../operations/auth/tokenStore.js';
import { type Readiness, readinessAnswer } from '../operations/metricsServer.js';
import { scrape } from '../operations/scrape.js';
import type { Tracing } from '../tracing/tracing.js';
import { httpAdmission } from './admission.js';
import { timeoutHeader } from './answerCall.js';
import { connectionAges } from './connectionAge.js';
import { sendError } from './errorBody.js';
import type { HttpHost } from './httpHost.js';
import { answerUnreadable, createHttpListener, leavesBody } from './listener.js';
import { EMBEDDINGS_METHOD, embeddingsRoute } from './openai/embeddings.js';
import { openapiDocument } from './openapi/document.js';
import { sentHttpStatus, watchSent } from './openHttpCall.js';
import { servePage } from './page.js';
import { type RequestOrder, requestsInOrder } from './requestOrder.js';
import { requestSpan } from './requestSpan.js';
import { EMBEDDINGS_PATH, routes, type UnaryMethodName } from './routes.js';
import { unaryRoute } from './unaryRoute.js';

export interface HttpServerOptions
  extends Omit<CallHost, 'inFlight' | 'maxResponseBytes' | 'messageEntries' | 'readSeconds'> {
  /** HOST:PORT; port 0 selects a free port. */
  readonly address: string;
  readonly methods: MethodMap;
  readonly models: Pick<ModelRegistry, 'full'>;
  readonly limits: ServeLimits;
  readonly readiness: Readiness;
  /** Default: no TLS. */
  readonly tls: CertificateStore | undefined;
  /** Default: everyone may call. */
  readonly store: TokenStore | undefined;
  /** Origins of web pages that may call. Default: none but the listener's own. */
  readonly corsOrigins?: readonly string[] | undefined;
  /** Folder of the page at /; it is not served if the folder does not exist. */
  readonly page?: string | undefined;
  /** Default: requests are not traced. */
  readonly tracing?: Pick<Tracing, 'call'> | undefined;
}

/** The HTTP listener of the service's methods. */
export interface HttpServer {
  /** HOST:PORT that is bound. */
  readonly address: string;
  /** Requests whose response has not been sent. */
  readonly callsInFlight: number;
  /** Resolves when no request is in flight. */
  idle(): Promise<void>;
  /** Accepts no new connections and requests. Resolves when every connection is closed. */
  drain(): Promise<void>;
  /** Closes every connection. */
  forceShutdown(): void;
}

/** The maximum length of a parameter of a path, such as the name of a model. */
const PARAMETER_CHARACTERS = 500;

/** Headers of responses that pages of allowed origins may read. */
const exposedHeaders = [requestIdKey, 'server-timing', 'retry-after', 'vicregl-response'];

/** The errors of Fastify and its plugins have a status; they are about the form of the request. */
function frameworkError(error: unknown): unknown {
  const { statusCode, message: whole } = error as { statusCode?: number; message?: string };
  // It may quote the URL.
  const message = whole?.slice(0, 200);
  if (statusCode === undefined || statusCode < 400 || statusCode >= 500) return error;
  if (statusCode === 404) return new ServeError('unknown_route', `not found: ${message}`);
  if (statusCode === 415) return new ServeError('unsupported_media_type', 'the content-type cannot be read');
  return new ServeError('invalid_argument', `the request cannot be read: ${message}`);
}

/** The paths beside those of methods, all of them for GET. */
const OTHER_PATHS = ['/openapi.json', '/healthz', '/readyz', '/metrics'] as const;

/** The verb of a path that has no route for the verb of a request; undefined for a path that has none. */
function otherVerb({ url, method }: FastifyRequest): string | undefined {
  const path = url.split('?', 1)[0]!;
  const known = [
    ...Object.values(routes),
    { verb: 'POST', path: EMBEDDINGS_PATH },
    ...OTHER_PATHS.map((other) => ({ verb: 'GET', path: other })),
  ];
  const pattern = (route: string) => route.replaceAll('.', '\\.').replace(/:\w+/g, '[^/]+');
  const found = known.find((route) => new RegExp(`^${pattern(route.path)}$`).test(path));
  return found && found.verb !== method ? found.verb : undefined;
}

/**
 * Starts the HTTP listener: the unary methods of the service as JSON, OpenAI's embeddings, health, and the page. The methods, limits
 * and queues are those of gRPC.
 * @throws Error naming the address that cannot be bound.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { address, methods, models, limits, metrics, failures, logger, admission, readiness, tls, store } = options;
  const { corsOrigins = [], page, tracing } = options;
  const { host: hostname, port } = parseAddress(address, 'httpAddress');
  const inFlight = createInFlight();
  const draining = new AbortController();
  setMaxListeners(0, draining.signal);

  function refused(request: FastifyRequest, method: string, error: unknown): void {
    const { code, reason, details } = toStatus(error);
    request.call.refusal = { code: statusName(code), reason };
    metrics.requestRefused(method, statusName(code), reason);
    const line = () => ({
      ...logFields(request.call.identity),
      protocol: 'http',
      path: request.url.slice(0, 200),
      peer: `${request.ip}:${request.socket.remotePort}`,
    });
    if (reason === 'INTERNAL') logger.error({ ...line(), method, err: error }, details);
    else failures.failed({ method, code: statusName(code), reason }, line, details);
  }

  const host: HttpHost = {
    ...{ metrics, logger, failures, admission, limits, inFlight, refused },
    draining: draining.signal,
    readSeconds: limits.readSeconds,
    maxResponseBytes: limits.maxResponseBytes,
    messageEntries: limits.messageEntries,
  };

  /** Refuses a request that no call was opened for. What fails because it was refused, such as the rest of its body, counts no more. */
  function refusedOnce(request: FastifyRequest, error: unknown): void {
    const { call, routeOptions } = request;
    if (!call.counted && call.refusal === undefined) refused(request, routeOptions.config?.rpc ?? 'unknown', error);
  }

  /** The requests that are counted, by their responses. */
  const opened = new WeakMap<ServerResponse, FastifyRequest>();
  let server: Server | undefined;
  let order: RequestOrder | undefined;
  const app = fastify({
    logger: false,
    serverFactory(handler) {
      order = requestsInOrder(handler);
      server = createHttpListener(order.handler, limits, tls);
      return server;
    },
    forceCloseConnections: false,
    return503OnClosing: false,
    bodyLimit: limits.maxMessageBytes,
    routerOptions: { maxParamLength: PARAMETER_CHARACTERS },
    genReqId: () => '',
    frameworkErrors(error, request, reply) {
      open(request, reply);
      fail(error, request, reply);
    },
    clientErrorHandler(error, socket) {
      if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
      order!.unreadable(socket, (response) => {
        const request = response && opened.get(response);
        // The connection ended within the body: its caller went away, and is counted as such.
        if (request && error.code === 'HPE_INVALID_EOF_STATE') return void socket.destroy();
        const { code, reason } = answerUnreadable(error, socket, limits);
        if (request) {
          // It is counted when its response closes.
          request.call.unreadable = code;
          refusedOnce(request, reason);
        } else {
          metrics.httpStarted();
          metrics.httpFinished('unknown', code);
        }
      });
    },
  });

  /** Begins to count a request. */
  function open(request: FastifyRequest, reply: Parameters<typeof sendError>[0]): void {
    const id = request.headers[requestIdKey];
    const requestId = safeRequestId(typeof id === 'string' ? id : undefined);
    const start = performance.now();
    request.call = {
      identity: { requestId, span: tracing && requestSpan(tracing, request, { requestId, start }) },
      start,
      counted: false,
      sent: false,
    };
    opened.set(reply.raw, request);
    watchSent(reply, request.call);
    reply.header(requestIdKey, request.call.identity.requestId);
    metrics.httpStarted();
    inFlight.begin();
    reply.raw.once('close', () => {
      const code = sentHttpStatus(reply, request.call);
      metrics.httpFinished(request.is404 ? 'unknown' : (request.routeOptions.url ?? 'unknown'), code);
      const { counted, identity, refusal = { code: 'CANCELLED' } } = request.call;
      if (!counted) identity.span?.end({ ...refusal, httpStatus: code });
      inFlight.end();
    });
  }

  /** Answers a request that no call was opened for. */
  function fail(thrown: unknown, request: FastifyRequest, reply: Parameters<typeof sendError>[0]): void {
    const error = frameworkError(thrown);
    refusedOnce(request, error);
    if (leavesBody(request.raw)) reply.header('connection', 'close');
    if (!reply.raw.destroyed) sendError(reply, toStatus(error));
  }

  app.decorateRequest('call');
  app.removeAllContentTypeParsers();
  // Bodies are read by the routes, within the limits of the service.
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  app.addHook('onRequest', async (request, reply) => open(request, reply));
  const isOld = connectionAges(limits.connectionAgeSeconds);
  app.addHook('onSend', async (request, reply) => {
    reply.header('x-content-type-options', 'nosniff');
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store');
    // The connection would otherwise stay open for the next request.
    if (draining.signal.aborted || isOld(request.raw.socket)) reply.header('connection', 'close');
  });
  if (corsOrigins.length > 0) {
    await app.register(cors, {
      origin: corsOrigins.includes('*') ? '*' : [...corsOrigins],
      methods: ['GET', 'POST'],
      allowedHeaders: ['authorization', 'content-type', 'accept', timeoutHeader, requestIdKey],
      exposedHeaders,
      maxAge: 600,
    });
  }
  const admit = httpAdmission({
    ...{ store, models, corsOrigins, draining: draining.signal },
    onLoopback: isLoopback(hostname),
  });
  app.addHook('onRequest', async (request) => admit(request));
  app.setErrorHandler((error, request, reply) => fail(error, request, reply));
  // An error thrown here would not reach the error handler, where the page's files call it.
  app.setNotFoundHandler((request, reply) => {
    const verb = otherVerb(request);
    const path = request.url.split('?', 1)[0]!.slice(0, 100);
    if (verb !== undefined) reply.header('allow', verb);
    const error =
      verb === undefined
        ? new ServeError('unknown_route', `not found: ${path}; see /openapi.json for the routes`)
        : new ServeError('wrong_method', `${path} does not have ${request.method}; use ${verb}`);
    fail(error, request, reply);
  });

  const definitions = loadVicreglService().service;
  for (const name of Object.keys(routes) as UnaryMethodName[]) {
    const { verb, path } = routes[name];
    const { admission: needs, handle } = methods[name];
    app.route({
      method: verb,
      url: path,
      config: { rpc: name, queueing: needs === 'image' },
      handler: unaryRoute(
        name,
        routes[name],
        definitions[name] as AnyDefinition,
        // The type MethodMap guarantees that the handler has the messages of its method.
        handle as Method<unknown, unknown>,
        host,
      ),
    });
  }
  app.route({
    method: 'POST',
    url: EMBEDDINGS_PATH,
    config: { rpc: EMBEDDINGS_METHOD, errors: 'openai', queueing: true },
    handler: embeddingsRoute(
      definitions[EMBEDDINGS_METHOD] as AnyDefinition,
      methods[EMBEDDINGS_METHOD].handle as Method<unknown, unknown>,
      host,
    ),
  });
  const withoutToken = { config: { open: true } };
  let description: string | undefined;
  app.get('/openapi.json', withoutToken, async (_request, reply) => {
    description ??= JSON.stringify(openapiDocument(definitions, store !== undefined));
    return reply.type('application/json').send(description);
  });
  app.get('/healthz', withoutToken, async (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/readyz', withoutToken, async (_request, reply) => {
    const { code, text } = readinessAnswer(readiness);
    return reply.code(code).type('text/plain').send(text);
  });
  // For the page's live view. The listener of the metrics has no authentication; here callers need a token as for any method.
  app.get('/metrics', async (request, reply) => {
    const { contentType, text } = await scrape(metrics.registry, request.headers.accept);
    return reply.type(contentType).send(text);
  });
  if (page !== undefined) await servePage(app, page);

  await app.listen({ host: hostname.replace(/^\[|\]$/g, ''), port }).catch(async (cause: Error) => {
    await app.close();
    throw new Error(`httpAddress: cannot listen on ${address}: ${cause.message}`, { cause });
  });
  return {
    address: `${hostname}:${(server!.address() as AddressInfo).port}`,
    get callsInFlight() {
      return inFlight.count;
    },
    idle: inFlight.idle,
    async drain() {
      draining.abort();
      server!.closeIdleConnections();
      await app.close();
    },
    forceShutdown: () => server!.closeAllConnections(),
  };
}
