import type { Logger } from 'pino';
import type { Decoder } from '../decode/decoder.js';
import { createAdmission } from './admission/admission.js';
import { createService } from './api/service.js';
import { defaultServeLimits, type ServeLimits } from './config/serveLimits.js';
import { createHealthMonitor } from './inference/healthMonitor.js';
import type { ModelRegistry, ModelSource } from './inference/registry.js';
import type { CertificateStore } from './operations/auth/certificates.js';
import { createFailureLog } from './operations/failureLog.js';
import { createMetrics } from './operations/metrics.js';
import { startMetricsServer } from './operations/metricsServer.js';
import { registerState } from './operations/stateMetrics.js';
import { createShutdown, type ShutdownTimes } from './shutdown.js';
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
  readonly logger: Logger;
  /** Default: no TLS. */
  readonly tls?: CertificateStore | undefined;
  /** Authentication. Default: everyone may call. */
  readonly auth?: Auth | undefined;
  readonly limits?: ServeLimits;
  /** Decodes images; the server closes it. Default: in this process, for images from trusted callers. */
  readonly decoder?: Decoder;
  readonly shutdown?: Partial<ShutdownTimes>;
}

export interface RunningServer {
  /** HOST:PORT where gRPC listens. */
  readonly address: string;
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

/**
 * Starts the gRPC service with health, reflection and metrics. When it resolves, calls are answered.
 * @throws Error naming the address that cannot be bound; then the models are closed too.
 */
export async function createServer(options: ServerOptions): Promise<RunningServer> {
  const { models, decoder, tls, auth, logger, limits = defaultServeLimits } = options;

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
    observer: { batch: (images) => metrics.batch(images) },
  });

  // Transport.
  const failures = createFailureLog(logger);
  const grpc = createGrpcServer({
    ...{ methods: service.methods, models: service.models, limits, admission, auth, metrics, failures, logger },
  });

  // Operations: health, metrics.
  const monitor = createHealthMonitor({
    ...{ models: service.models, decoder, logger, ...CANARY },
    report: grpc.setHealth,
  });
  const stopMeasuring = registerState(metrics.registry, {
    models: () => service.models.served,
    decoder: () => decoder?.status,
    storedFeatures: () => service.storedFeatures,
    held: () => ({
      requests: admission.requestBytes.held,
      answers: admission.responseBytes.held,
      maps: admission.mapBytes.held,
    }),
    isReady: () => monitor.serving,
    certificateExpires: () => tls?.current.expires,
  });
  const metricsServer = await startMetricsServer(options.metricsAddress, metrics.registry, monitor, logger).catch(
    async (error: unknown) => {
      stopMeasuring();
      await service.close();
      throw error;
    },
  );

  const address = await grpc.listen(options.address, tls).catch(async (error: unknown) => {
    stopMeasuring();
    await Promise.all([metricsServer.close(), service.close()]);
    throw error;
  });
  const shutdown = createShutdown(
    {
      grpc,
      service,
      notServing: () => monitor.stop(),
      async closeRest() {
        failures.flush();
        await metricsServer.close();
        stopMeasuring();
      },
    },
    { ...defaultShutdown, ...options.shutdown },
  );
  return {
    address,
    metricsAddress: metricsServer.address,
    models: service.models,
    close: (force = false) => shutdown(force),
  };
}
