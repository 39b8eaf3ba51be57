import { setMaxListeners } from 'node:events';
import type { ServerHttp2Session } from 'node:http2';
import { Server, type ServerOptions } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import type { Logger } from 'pino';
import { reflectedPackage } from '../../proto/descriptors.js';
import { inferenceServiceName, loadInferenceService, loadVicreglService, serviceName } from '../../proto/load.js';
import type { MethodMap } from '../api/method.js';
import { parseAddress } from '../config/address.js';
import { MAX_METADATA_BYTES, type ServeLimits } from '../config/serveLimits.js';
import { logFields } from '../dispatch/callIdentity.js';
import { createInFlight } from '../dispatch/inFlight.js';
import type { ModelRegistry } from '../inference/registry.js';
import type { InferenceMethods } from '../kserve/methods.js';
import type { CertificateStore } from '../operations/auth/certificates.js';
import type { FailureLog } from '../operations/failureLog.js';
import type { Metrics } from '../operations/metrics.js';
import type { Tracing } from '../tracing/tracing.js';
import { watchConnections } from './brokenConnections.js';
import { callContext } from './callContext.js';
import { dropConnection, dropConnections, http2ServersOf, setHttp2Options } from './grpcInternals.js';
import { handlersOf, inferenceHandlersOf, queueingPaths, rawDefinition } from './handlers.js';
import { type Auth, interceptorsOf } from './interceptors.js';
import type { HandlerHost } from './openCall.js';
import { serverCredentials } from './tlsCredentials.js';
import { NO_MESSAGE, uncountedMessage, watchUncountedCalls } from './uncountedCalls.js';

export interface GrpcServerOptions {
  readonly methods: MethodMap;
  /** The methods of the Open Inference Protocol. */
  readonly inferenceMethods: InferenceMethods;
  readonly models: Pick<ModelRegistry, 'full'>;
  readonly limits: ServeLimits;
  readonly metrics: Metrics;
  readonly failures: FailureLog;
  readonly logger: Logger;
  /** Bounds the bytes of requests and responses. */
  readonly admission: HandlerHost['admission'];
  /** Default: everyone may call. */
  readonly auth: Auth | undefined;
  /** Default: calls are not traced. */
  readonly tracing?: Pick<Tracing, 'call'> | undefined;
}

/** The gRPC server with the service's methods, those of the Open Inference Protocol, health (grpc.health.v1) and reflection. */
export interface GrpcServer {
  /** Number of calls whose response has not been sent. */
  readonly callsInFlight: number;
  /** Resolves when no call is in flight. */
  idle(): Promise<void>;
  /** Sets the health of a model (`name` or `name@version`), or with '' of the whole service. */
  setHealth(name: string, serving: boolean): void;
  /**
   * Listens. When it resolves, calls are answered.
   * @param address HOST:PORT; port 0 selects a free port
   * @param certificates undefined: without TLS
   * @returns the bound HOST:PORT
   * @throws Error naming the address that cannot be bound.
   */
  listen(address: string, certificates: CertificateStore | undefined): Promise<string>;
  /** Accepts no new calls and no new stream items. Resolves when every connection is closed. */
  drain(): Promise<void>;
  /** Closes every connection, with its calls. */
  forceShutdown(): void;
}

/** The age at which grpc-js sends GOAWAY, with a jitter of 10 %. */
function connectionAge({ connectionAgeSeconds: age }: ServeLimits): ServerOptions {
  return age > 0 ? { 'grpc.max_connection_age_ms': age * 1000 } : {};
}

/** The longest time of a connection in ms, with the largest jitter of its age; undefined without a limit. */
function longestConnection({ connectionAgeSeconds: age, connectionAgeGraceSeconds: grace }: ServeLimits) {
  return age > 0 && grace > 0 ? (age * 1.1 + grace) * 1000 : undefined;
}

export function createGrpcServer(options: GrpcServerOptions): GrpcServer {
  const { methods, inferenceMethods, models, limits, metrics, failures, logger, admission, auth, tracing } = options;
  const inFlight = createInFlight();
  const draining = new AbortController();
  // Every open stream listens.
  setMaxListeners(0, draining.signal);
  const host: HandlerHost = {
    metrics,
    logger,
    failures,
    inFlight,
    admission,
    readSeconds: limits.readSeconds,
    maxResponseBytes: limits.maxResponseBytes,
    messageEntries: limits.messageEntries,
    streamItems: limits.streamItems,
    draining: draining.signal,
  };
  const definition = loadVicreglService().service;
  const inferenceDefinition = loadInferenceService().service;
  const server = new Server({
    'grpc.max_receive_message_length': limits.maxMessageBytes,
    'grpc.max_concurrent_streams': limits.callsPerConnection,
    // The handlers enforce maxResponseBytes themselves, with a message that says what to do.
    'grpc.max_send_message_length': -1,
    // Without pings, a client that vanished without closing its connection would hold its calls and the connection forever.
    'grpc.keepalive_time_ms': limits.keepaliveSeconds * 1000,
    'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutSeconds * 1000,
    ...connectionAge(limits),
    interceptors: interceptorsOf({
      auth,
      models,
      queueing: new Set([
        ...queueingPaths(definition, methods),
        ...queueingPaths(inferenceDefinition, inferenceMethods),
      ]),
      metrics,
      failures,
      receiveSeconds: limits.receiveSeconds,
      metadataBytes: limits.metadataBytes,
      tracing,
    }),
  });
  setHttp2Options(server, {
    settings: { maxHeaderListSize: MAX_METADATA_BYTES },
    // As many fields as the size allows: by default Node resets a stream with more than 128 fields without an error.
    maxHeaderListPairs: MAX_METADATA_BYTES / 32,
  });
  server.addService(rawDefinition(definition), handlersOf(definition, methods, host));
  server.addService(
    rawDefinition(inferenceDefinition),
    inferenceHandlersOf(inferenceDefinition, inferenceMethods, host),
  );
  const health = new HealthImplementation();
  health.addToServer(server);
  new ReflectionService(reflectedPackage()).addToServer(server);
  let stopWatching = (): void => {};

  function watch(): void {
    const http2Servers = http2ServersOf(server);
    watchUncountedCalls(http2Servers, {
      paths: new Set([definition, inferenceDefinition].flatMap((each) => Object.values(each).map(({ path }) => path))),
      ended({ method, code, path, peer, stream }) {
        metrics.requestUnseen(method, code);
        const context = callContext(stream);
        // No status was sent: its caller has gone.
        context?.span?.end({ code: code === NO_MESSAGE ? 'CANCELLED' : code, reason: code });
        const line = () => ({ ...logFields(context), path, peer });
        failures.failed({ method, code, reason: code }, line, uncountedMessage(code));
      },
    });
    const longestMs = longestConnection(limits);
    if (longestMs !== undefined) {
      for (const each of http2Servers) {
        each.on('session', (session: ServerHttp2Session) => {
          // grpc-js's own grace period would end the streams of the session, not its connection.
          const timer = setTimeout(() => dropConnection(session), longestMs).unref();
          session.once('close', () => clearTimeout(timer));
        });
      }
    }
    stopWatching = watchConnections(http2Servers, (peer) =>
      failures.failed(
        { method: 'connection', code: 'UNAVAILABLE', reason: 'CONNECTION_BROKEN' },
        () => ({ peer }),
        'the client violated HTTP/2 (for example by metadata of more than 64 KiB); its connection is closed',
      ),
    );
  }

  return {
    get callsInFlight() {
      return inFlight.count;
    },
    idle: inFlight.idle,
    setHealth(name, serving) {
      const status = serving ? 'SERVING' : 'NOT_SERVING';
      const names = name === '' ? ['', serviceName, inferenceServiceName] : [`${serviceName}/${name}`];
      for (const each of names) health.setStatus(each, status);
    },
    async listen(address, certificates) {
      const { host: hostname } = parseAddress(address, 'address');
      const port = await new Promise<number>((resolve, reject) => {
        server.bindAsync(address, serverCredentials(certificates), (error, bound) =>
          error ? reject(new Error(`address: cannot listen on ${address}: ${error.message}`)) : resolve(bound),
        );
      });
      // In the same turn of the event loop in which the bind ends, so no connection is accepted before.
      watch();
      return `${hostname}:${port}`;
    },
    drain() {
      draining.abort();
      return new Promise((resolve) => server.tryShutdown(() => resolve()));
    },
    forceShutdown() {
      dropConnections(server);
      server.forceShutdown();
      stopWatching();
    },
  };
}
