import type { Logger } from 'pino';
import type { Decoder } from '../decode/decoder.js';
import { createAdmission } from './admission/admission.js';
import { createService } from './api/service.js';
import { defaultServeLimits, type ServeLimits } from './config/serveLimits.js';
import { type HttpServer, startHttpServer } from './http/httpServer.js';
import { pageFolder } from './http/page.js';
import { createHealthMonitor } from './inference/healthMonitor.js';
import type { ModelRegistry, ModelSource } from './inference/registry.js';
import { createInferenceMethods } from './kserve/methods.js';
import type { CertificateStore } from './operations/auth/certificates.js';
import { createFailureLog } from './operations/failureLog.js';
import { createMetrics } from './operations/metrics.js';
import { type Readiness, startMetricsServer } from './operations/metricsServer.js';
import type { ModelDirStatus } from './operations/modelDir/modelDir.js';
import { registerState } from './operations/stateMetrics.js';
import { createShutdown, type ShutdownTimes } from './shutdown.js';
import type { Tracing } from './tracing/tracing.js';
import { createGrpcServer } from './transport/grpcServer.js';
import type { Auth } from './transport/interceptors.js';

/** Orchestrators kill a process after 30 s by default, so running calls have 25 s. */
const defaultShutdown: ShutdownTimes = { delayMs: 0, graceMs: 25_000 };

/** Canaries run twice a minute. Each one occupies a worker for one image. */
const CANARY = { intervalMs: 30_000, timeoutMs: 30_000 };

export interface ServerOptions {
  /** The models to serve, already warmed up. The first is the default. The server closes them. */
  readonly models: readonly ModelSource[];
  /** HOST:PORT of the gRPC service; port 0 selects a free port. */
  readonly address: string;
  /** HOST:PORT of /metrics, /healthz and /readyz; port 0 selects a free port, `off` disables the listener. */
  readonly metricsAddress: string;
  /** HOST:PORT of the same methods over HTTP; port 0 selects a free port. Default: `off`. */
  readonly httpAddress?: string | undefined;
  /** Origins of web pages that may call over HTTP. Default: none but the listener's own. */
  readonly httpCorsOrigins?: readonly string[] | undefined;
  /** Folder of the page at / of the HTTP listener. Default: that of the build, if it exists. */
  readonly page?: string | undefined;
  readonly logger: Logger;
  /** Default: no TLS. */
  readonly tls?: CertificateStore | undefined;
  /** Authentication. Default: everyone may call. */
  readonly auth?: Auth | undefined;
  readonly limits?: ServeLimits;
  /** Decodes images; the server closes it. Default: in this process, for images from trusted callers. */
  readonly decoder?: Decoder;
  readonly shutdown?: Partial<ShutdownTimes>;
  /** State of the models directory, for the metrics. Default: there is none. */
  readonly modelDir?: () => ModelDirStatus;
  /** Makes spans of calls; the server closes it. Default: calls are not traced. */
  readonly tracing?: Tracing | undefined;
}

export interface RunningServer {
  /** HOST:PORT where gRPC listens. */
  readonly address: string;
  /** HOST:PORT where HTTP listens, or `off`. */
  readonly httpAddress: string;
  /** HOST:PORT where metrics listen, or `off`. */
  readonly metricsAddress: string;
  /** The models that are served; `reload` replaces a model. */
  readonly models: ModelRegistry;
  /**
   * Shuts down: NOT_SERVING, no new calls, running calls finish (within the grace period), then everything is closed.
   * @param force ends running calls immediately
   */
  close(force?: boolean): Promise<void>;
}

/** What a start opens. */
type Part = 'models' | 'tracing' | 'health' | 'state' | 'metrics' | 'http';

/** What a start has opened so far, with what closes it. */
type Opened = Map<Part, () => unknown>;

/**
 * Starts the service: gRPC with health and reflection, HTTP, and metrics. When it resolves, calls are answered.
 * @throws ServeError `invalid_argument` for two models with the same name and version, or Error naming the address that cannot be bound;
 *   then the models, the decoder and the tracing are closed too.
 */
export async function createServer(options: ServerOptions): Promise<RunningServer> {
  const { models, decoder, tracing } = options;
  const opened: Opened = new Map<Part, () => unknown>([
    ['models', () => Promise.allSettled([...models.map(({ engine }) => engine.close()), decoder?.close()])],
    ['tracing', () => tracing?.close()],
  ]);
  try {
    return await start(options, opened);
  } catch (error) {
    // What is to be reported is the failure of the start.
    await Promise.allSettled([...opened.values()].map(async (close) => close()));
    throw error;
  }
}

async function start(options: ServerOptions, opened: Opened): Promise<RunningServer> {
  const { models, decoder, tls, auth, logger, tracing, limits = defaultServeLimits } = options;
  const { httpAddress = 'off', httpCorsOrigins: corsOrigins, page = pageFolder } = options;

  // Admission and the service.
  const admission = createAdmission(
    limits,
    models.map(({ engine }) => engine),
  );
  const metrics = createMetrics();
  const service = createService({
    models,
    limits,
    admission,
    ...(decoder && { decoder }),
    observer: { batch: metrics.batch, run: (calls, model) => tracing?.run({ calls, model }) },
  });
  // From now on it owns the engines and the decoder.
  opened.set('models', () => service.close());

  // Transport.
  const failures = createFailureLog(logger);
  const inferenceMethods = createInferenceMethods({
    ...{ contexts: service.contexts, models: service.models, limits },
    // Created below; no call arrives before the server listens.
    state: { isServing: (name) => monitor.isServing(name) },
  });
  const grpc = createGrpcServer({
    ...{
      methods: service.methods,
      inferenceMethods,
      models: service.models,
      limits,
      admission,
      auth,
      metrics,
      failures,
      logger,
      tracing,
    },
  });

  // Operations: health, metrics.
  const monitor = createHealthMonitor({
    ...{ models: service.models, decoder, logger, ...CANARY },
    report: grpc.setHealth,
  });
  opened.set('health', () => monitor.stop());
  // Metrics listen first, so that a start can be watched; orchestrators may send calls only once gRPC and HTTP are there too.
  let listening = false;
  const readiness: Readiness = {
    get serving() {
      return listening && monitor.serving;
    },
    get problems() {
      return [...(listening ? [] : ['the listeners are starting']), ...monitor.problems];
    },
  };
  const stopMeasuring = registerState(metrics.registry, {
    models: () => service.models.served,
    decoder: () => decoder?.status,
    storedFeatures: () => service.storedFeatures,
    held: () => ({
      requests: admission.requestBytes.held,
      answers: admission.responseBytes.held,
      maps: admission.mapBytes.held,
    }),
    isReady: () => readiness.serving,
    modelDir: () => options.modelDir?.(),
    certificateExpires: () => tls?.current.expires,
    spans: () => tracing?.counts,
  });
  opened.set('state', stopMeasuring);
  const metricsServer = await startMetricsServer(options.metricsAddress, metrics.registry, readiness, logger);
  opened.set('metrics', () => metricsServer.close());

  let http: HttpServer | undefined;
  if (httpAddress !== 'off') {
    const started = await startHttpServer({
      ...{ address: httpAddress, methods: service.methods, models: service.models, limits, admission, metrics },
      ...{ failures, logger, readiness, tls, store: auth?.store, corsOrigins, page, tracing },
    });
    opened.set('http', () => {
      started.forceShutdown();
      return started.drain();
    });
    http = started;
  }
  const address = await grpc.listen(options.address, tls);
  listening = true;
  const shutdown = createShutdown(
    {
      transports: [grpc, ...(http ? [http] : [])],
      service,
      notServing: () => monitor.stop(),
      async closeRest() {
        failures.flush();
        await Promise.all([metricsServer.close(), tracing?.close()]);
        stopMeasuring();
      },
    },
    { ...defaultShutdown, ...options.shutdown },
  );
  return {
    address,
    httpAddress: http?.address ?? 'off',
    metricsAddress: metricsServer.address,
    models: service.models,
    close: (force = false) => shutdown(force),
  };
}
