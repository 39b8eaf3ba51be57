import { setTimeout as delay } from 'node:timers/promises';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import type { Logger } from 'pino';
import type { Engine } from '../engine/engine.js';
import { loadProtoPackage, loadVicreglService, serviceName } from '../proto/load.js';
import type { Tls } from './auth/tls.js';
import { defaultServeLimits, type ServeLimits } from './limits.js';
import { createMetrics } from './monitoring/metrics.js';
import { startMetricsServer } from './monitoring/metricsServer.js';
import { registerState } from './monitoring/stateMetrics.js';
import { createService } from './service.js';
import { parseAddress } from './transport/address.js';
import { handlersOf, rawDefinition } from './transport/handlers.js';
import { createInFlight } from './transport/inFlight.js';
import { type Auth, interceptorsOf } from './transport/interceptors.js';
import type { HandlerHost } from './transport/openCall.js';
import { createRequestBudget } from './transport/requestBudget.js';

/** Longest wait for running calls on a shutdown, in ms: orchestrators kill after 30 s by default. */
const DRAIN_MS = 25_000;

/** After the last answer, how long clients may keep streams (health watches, reflection) open, in ms. */
const LINGER_MS = 250;

export interface ServerOptions {
  /** Runs the model; the server closes it. */
  readonly engine: Engine;
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
}

export interface RunningServer {
  /** HOST:PORT where gRPC listens. */
  readonly address: string;
  /** HOST:PORT where metrics listen, or `off`. */
  readonly metricsAddress: string;
  /**
   * NOT_SERVING, no new calls, running ones finish (at most 25 s), then everything is freed.
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
  const { engine, logger, limits = defaultServeLimits } = options;
  const service = createService({ engines: [engine], limits, onBatch: (images) => metrics.batch(images) });
  const metrics = createMetrics();
  const inFlight = createInFlight();
  const budget = createRequestBudget(limits.requestBytes);
  const draining = new AbortController();
  const host: HandlerHost = {
    metrics,
    logger,
    inFlight,
    budget,
    answers: createRequestBudget(limits.responseBytes, 'answers'),
    maxResponseBytes: limits.maxResponseBytes,
    streamItems: limits.streamItems,
    draining: draining.signal,
  };
  const server = new Server({
    'grpc.max_receive_message_length': limits.maxMessageBytes,
    'grpc.max_concurrent_streams': limits.callsPerConnection,
    // The handlers hold maxResponseBytes themselves, with a message that names the way out.
    'grpc.max_send_message_length': -1,
    interceptors: interceptorsOf(options.auth, metrics, logger),
  });
  const definition = loadVicreglService().service;
  server.addService(rawDefinition(definition), handlersOf(definition, service.methods, host));
  const health = new HealthImplementation({ '': 'SERVING', [serviceName]: 'SERVING' });
  health.addToServer(server);
  new ReflectionService(loadProtoPackage()).addToServer(server);

  let ready = true;
  const stopMeasuring = registerState(metrics.registry, {
    models: () => service.models.served,
    isReady: () => ready,
    certificateExpires: () => options.tls?.current.expires,
  });
  const metricsServer = await startMetricsServer(options.metricsAddress, metrics.registry, () => ready).catch(
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

  function say(serving: boolean): void {
    if (ready === serving) return;
    ready = serving;
    for (const name of ['', serviceName]) health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
  }

  // Without a worker every call would wait or be UNAVAILABLE: traffic has to go elsewhere at once.
  const unwatch = engine.watch(() => say(['ready', 'degraded'].includes(engine.status.state)));

  async function stop(): Promise<void> {
    unwatch();
    say(false);
    draining.abort();
    const closed = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    const timers = new AbortController();
    await Promise.race([inFlight.idle(), delay(DRAIN_MS, undefined, { signal: timers.signal }).catch(() => {})]);
    // Streams without an end of their own would hold the shutdown for ever.
    await Promise.race([closed, delay(LINGER_MS, undefined, { signal: timers.signal }).catch(() => {})]);
    timers.abort();
    server.forceShutdown();
    await service.close();
    await metricsServer.close();
    stopMeasuring();
  }

  let stopping: Promise<void> | undefined;
  return {
    address,
    metricsAddress: metricsServer.address,
    close(force = false) {
      stopping ??= stop();
      if (force) server.forceShutdown();
      return stopping;
    },
  };
}
