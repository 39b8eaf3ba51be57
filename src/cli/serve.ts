import type { Command } from 'commander';
import { openDecoder } from '../decode/openDecoder.js';
import { packageVersion } from '../models/packageVersion.js';
import { limitsOf } from '../serve/config/limits.js';
import { printConfig, redactConfig } from '../serve/config/print.js';
import { namesOfNth, reloadNth } from '../serve/inference/registry.js';
import { startAdminServer } from '../serve/operations/adminServer.js';
import { openSecurity } from '../serve/operations/auth/security.js';
import { createLogger } from '../serve/operations/logger.js';
import type { Reloadable } from '../serve/operations/reload.js';
import { createServer } from '../serve/server.js';
import { serveUntilSignal } from '../serve/shutdown.js';
import { openTracing } from '../serve/tracing/openTracing.js';
import { reloadOnHangUps } from './hangUps.js';
import { openServedModels } from './servedModels.js';
import { addServeFlags, readServeConfig, type ServeFlags } from './serveFlags.js';

/** How long the process may continue after everything is closed, in ms. */
const EXIT_MS = 1000;

/** `vicregl serve`: the gRPC service until SIGINT or SIGTERM. */
export function registerServe(program: Command): void {
  const command = program
    .command('serve')
    .description('Serve models over gRPC and HTTP, with health, reflection and metrics.')
    .option('--print-config', 'print the resolved configuration with the source of each value, and exit', false);
  addServeFlags(command).action(async ({ printConfig: print, ...flags }: ServeFlags & { printConfig: boolean }) => {
    const resolved = await readServeConfig(flags, process.env);
    if (print) {
      process.stdout.write(printConfig(resolved));
      return;
    }
    const { config } = resolved;
    const { address, httpAddress, httpCorsOrigins, metricsAddress, adminAddress, openHealth, drainDelayMs, drainMs } =
      config;
    const logger = createLogger(config.logLevel);
    const modelParts: Reloadable[] = (config.model ?? (config.modelDir === undefined ? ['bundled'] : [])).map(
      (name, place) => ({
        name: `model ${name}`,
        modelNames: () => namesOfNth(server.models, place),
        reload: () => reloadNth(server.models, place),
      }),
    );
    if (config.modelDir !== undefined) {
      modelParts.push({
        name: `models of ${config.modelDir}`,
        modelNames: () => modelDir?.names ?? [],
        reload: async (name) => modelDir?.reload(name) ?? '',
      });
    }
    const { tls, store, reload } = await openSecurity(config, logger, modelParts);
    const limits = limitsOf(config);
    const { sources: models, modelDir } = await openServedModels(config, limits, logger);
    const decoder = await openDecoder(limits, (message) => logger.info(message)).catch(async (error: unknown) => {
      await Promise.allSettled(models.map(({ engine }) => engine.close()));
      throw error;
    });
    // It throws nothing.
    const tracing = await openTracing(process.env, logger, packageVersion());
    const auth = store && { store, openHealth };
    const shutdown = { delayMs: drainDelayMs, graceMs: drainMs };
    const server = await createServer({
      models,
      address,
      httpAddress,
      httpCorsOrigins,
      metricsAddress,
      logger,
      limits,
      decoder,
      tls,
      auth,
      shutdown,
      ...(modelDir && { modelDir: () => modelDir.status }),
      tracing,
    });
    modelDir?.start(server.models, config.modelDirPollSeconds * 1000);
    const admin = await startAdminServer({
      ...{ address: adminAddress, tls, store, reload, logger },
      config: () => redactConfig(resolved),
    }).catch(async (error: unknown) => {
      modelDir?.stop();
      await server.close(true);
      throw error;
    });
    const close = (): Promise<void> => {
      modelDir?.stop();
      return server.close();
    };
    const ended = serveUntilSignal({ close }, logger);
    const { manifest, provider } = models[0]!.engine;
    const { name, version } = manifest;
    logger.info(
      {
        address: server.address,
        httpAddress: server.httpAddress,
        metricsAddress: server.metricsAddress,
        adminAddress: admin.address,
        tls: tls === undefined ? 'off' : config.tlsClientCa === undefined ? 'server' : 'mutual',
        tokens: store !== undefined,
        traces: tracing !== undefined,
        model: name,
        version,
        provider,
      },
      'serving',
    );
    reloadOnHangUps(() => {
      logger.info({ signal: 'SIGHUP' }, 'reloading');
      // It logs its own failures.
      void reload();
    });
    try {
      await ended;
    } finally {
      await admin.close();
      // A worker that hangs while it opens a model for a reload would keep the process alive; it ends with the process.
      setTimeout(() => process.exit(), EXIT_MS).unref();
    }
  });
}
