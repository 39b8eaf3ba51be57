import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import type { Logger } from 'pino';
import type { Decoder } from '../decode/decoder.js';
import { reflectedPackage } from '../proto/descriptors.js';
import { loadVicreglService, serviceName } from '../proto/load.js';
import { createAdmission } from './admission/admission.js';
import { createService } from './api/service.js';
import { parseAddress } from './config/address.js';
import { defaultServeLimits, MAX_METADATA_BYTES, type ServeLimits } from './config/serveLimits.js';
import { createHealthMonitor } from './inference/healthMonitor.js';
import type { ModelRegistry, ModelSource } from './inference/registry.js';
import type { Tls } from './operations/auth/tls.js';
import { createFailureLog } from './operations/failureLog.js';
import { createMetrics } from './operations/metrics.js';
import { startMetricsServer } from './operations/metricsServer.js';
import { registerState } from './operations/stateMetrics.js';
import { watchSessions } from './transport/brokenSessions.js';
import { handlersOf, rawDefinition } from './transport/handlers.js';
import { http2ServersOf, setHttp2Options } from './transport/http2Servers.js';
import { createInFlight } from './transport/inFlight.js';
import { type Auth, interceptorsOf } from './transport/interceptors.js';
import type { HandlerHost } from './transport/openCall.js';
import { unseenMessage, watchUnseenCalls } from './transport/unseenCalls.js';

/** Orchestrators kill after 30 s by default: what is under way has 25 s. */
const defaultShutdown: ShutdownTimes = { delayMs: 0, graceMs: 25_000 };

/** Canaries, twice a minute: each takes a worker for one image. */
const CANARY = { intervalMs: 30_000, timeoutMs: 30_000 };

/** After the last answer, how long clients may keep streams (health watches, reflection) open, in ms. */
const LINGER_MS = 250;

export interface ServerOptions {
  /** What is served, warm; the first is the default. The server closes them. */
  readonly models: readonly ModelSource[];
  /** HOST:PORT of the gRPC service; port 0 takes a free one. */
  readonly address: string;
  /** HOST:PORT of /metrics, /healthz and /readyz; port 0 takes a free one, `off` has none. */
  readonly metricsAddress: string;
  readonly logger: Logger;
  /** Default: no TLS. */
  readonly tls?: Tls | undefined;
  /** Who may call. Default: everyone. */
  readonly auth?: Auth | undefined;
  readonly limits?: ServeLimits;
  /** Decodes images; the server closes it. Default: in this process, for images of people who are trusted. */
  readonly decoder?: Decoder;
  readonly shutdown?: Partial<ShutdownTimes>;
}

/** How a shutdown takes its time. */
export interface ShutdownTimes {
  /** How long calls are still taken after NOT_SERVING, in ms, so that whoever balances the load can look elsewhere. */
  readonly delayMs: number;
  /** Longest wait for what is under way after that, in ms; then it is cut off. */
  readonly graceMs: number;
}

export interface RunningServer {
  /** HOST:PORT where gRPC listens. */
  readonly address: string;
  /** HOST:PORT where metrics listen, or `off`. */
  readonly metricsAddress: string;
  /** What is served; `reload` replaces a model. */
  readonly models: ModelRegistry;
  /**
   * NOT_SERVING, no new calls, running ones finish (within the grace), then everything is freed.
   * @param force cuts running calls off
   */
  close(force?: boolean): Promise<void>;
}

async function bind(server: Server, address: string, credentials: ServerCredentials): Promise<string> {
  const { host } = parseAddress(address, 'address');
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentials, (error, bound) =>
      error ? reject(new Error(`address: cannot listen on ${address}: ${error.message}`)) : resolve(bound),
    );
  });
  return `${host}:${port}`;
}

/**
 * Starts the gRPC service with health, reflection and metrics. When it resolves, calls are answered.
 * @throws Error naming the address that cannot be bound; the engine is closed then too.
 */
export async function createServer(options: ServerOptions): Promise<RunningServer> {
  const { logger, limits = defaultServeLimits } = options;
  const shutdown = { ...defaultShutdown, ...options.shutdown };
  const admission = createAdmission(
    limits,
    options.models.map(({ engine }) => engine),
  );
  const service = createService({
    models: options.models,
    limits,
    admission,
    ...(options.decoder && { decoder: options.decoder }),
    observer: { batch: (images) => metrics.batch(images) },
  });
  const metrics = createMetrics();
  const failures = createFailureLog(logger);
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
  const server = new Server({
    'grpc.max_receive_message_length': limits.maxMessageBytes,
    'grpc.max_concurrent_streams': limits.callsPerConnection,
    // The handlers hold maxResponseBytes themselves, with a message that names the way out.
    'grpc.max_send_message_length': -1,
    // A caller that is gone without a word (a router forgot it) would else hold its calls and connections for ever.
    'grpc.keepalive_time_ms': limits.keepaliveSeconds * 1000,
    'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutSeconds * 1000,
    interceptors: interceptorsOf({
      auth: options.auth,
      models: service.models,
      metrics,
      failures,
      receiveSeconds: limits.receiveSeconds,
      metadataBytes: limits.metadataBytes,
    }),
  });
  setHttp2Options(server, {
    settings: { maxHeaderListSize: MAX_METADATA_BYTES },
    // No fewer fields than the size has room for: Node resets a stream with more than 128 without a word.
    maxHeaderListPairs: MAX_METADATA_BYTES / 32,
  });
  const definition = loadVicreglService().service;
  server.addService(rawDefinition(definition), handlersOf(definition, service.methods, host));
  const health = new HealthImplementation();
  health.addToServer(server);
  new ReflectionService(reflectedPackage()).addToServer(server);

  const monitor = createHealthMonitor({
    ...{ models: service.models, decoder: options.decoder, logger, ...CANARY },
    report(name, serving) {
      const status = serving ? 'SERVING' : 'NOT_SERVING';
      for (const each of name === '' ? ['', serviceName] : [`${serviceName}/${name}`]) health.setStatus(each, status);
    },
  });
  const stopMeasuring = registerState(metrics.registry, {
    models: () => service.models.served,
    decoder: () => options.decoder?.status,
    storedFeatures: () => service.storedFeatures,
    held: () => ({
      requests: admission.requestBytes.held,
      answers: admission.responseBytes.held,
      maps: admission.mapBytes.held,
    }),
    isReady: () => monitor.serving,
    certificateExpires: () => options.tls?.current.expires,
  });
  const metricsServer = await startMetricsServer(options.metricsAddress, metrics.registry, monitor, logger).catch(
    async (error: unknown) => {
      stopMeasuring();
      await service.close();
      throw error;
    },
  );
  const address = await bind(
    server,
    options.address,
    options.tls?.credentials ?? ServerCredentials.createInsecure(),
  ).catch(async (error: unknown) => {
    stopMeasuring();
    await Promise.all([metricsServer.close(), service.close()]);
    throw error;
  });
  // No connection is taken before these listen: it is the same turn of the event loop.
  const http2Servers = http2ServersOf(server);
  watchUnseenCalls(http2Servers, {
    paths: new Set(Object.values(definition).map(({ path }) => path)),
    isForeign: (path) => path.startsWith('/grpc.'),
    ended({ method, code, path, peer }) {
      metrics.requestUnseen(method, code);
      failures.failed({ method, code, reason: code }, () => ({ path, peer }), unseenMessage(code));
    },
  });
  const stopWatching = watchSessions(http2Servers, (peer) =>
    failures.failed(
      { method: 'connection', code: 'UNAVAILABLE', reason: 'CONNECTION_BROKEN' },
      () => ({ peer }),
      "the caller broke HTTP/2's rules (metadata of more than 64 KiB, say); its connection is closed",
    ),
  );

  async function stop(): Promise<void> {
    monitor.stop();
    await Promise.race([delay(shutdown.delayMs), hurried]);
    draining.abort();
    const closed = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    const timers = new AbortController();
    const pause = (ms: number) => delay(ms, undefined, { signal: timers.signal }).catch(() => {});
    const grace = pause(shutdown.graceMs).then(() => 'over');
    // A call whose message was on its way may have begun meanwhile: look again until there is none.
    do {
      await Promise.race([inFlight.idle(), grace, hurried]);
      // Streams without an end of their own would hold the shutdown for ever.
    } while ((await Promise.race([closed, pause(LINGER_MS), grace])) !== 'over' && inFlight.count > 0 && !forced);
    server.forceShutdown();
    const freed = service.close();
    // A run that hangs, or that nobody waits for any more, may not hold the process beyond the grace.
    await Promise.race([freed, grace, hurried]);
    service.terminate();
    await freed;
    timers.abort();
    stopWatching();
    failures.flush();
    await metricsServer.close();
    stopMeasuring();
  }

  let stopping: Promise<void> | undefined;
  let forced = false;
  let hurry = (): void => {};
  const hurried = new Promise<void>((resolve) => {
    hurry = resolve;
  });
  return {
    address,
    metricsAddress: metricsServer.address,
    models: service.models,
    close(force = false) {
      stopping ??= stop();
      if (force) {
        forced = true;
        hurry();
        server.forceShutdown();
      }
      return stopping;
    },
  };
}
