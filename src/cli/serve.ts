import type { Command } from 'commander';
import { startAdminServer } from '../serve/admin/adminServer.js';
import { openSecurity } from '../serve/auth/security.js';
import { limitsOf } from '../serve/config/limits.js';
import { printConfig, redactConfig } from '../serve/config/print.js';
import { createLogger } from '../serve/monitoring/logger.js';
import { createServer } from '../serve/server.js';
import { serveToTheEnd } from '../serve/shutdown.js';
import { bundledModelFolder } from './defaults.js';
import { openEngine } from './engine.js';
import { findModel } from './modelFolders.js';
import { addServeFlags, readServeConfig, type ServeFlags } from './serveFlags.js';

/** `vicregl serve`: the gRPC service until SIGINT or SIGTERM. */
export function registerServe(program: Command): void {
  const command = program
    .command('serve')
    .description('Serve models over gRPC, with health, reflection and metrics.')
    .option('--print-config', 'print the resolved configuration with the source of each value, and end', false);
  addServeFlags(command).action(async ({ printConfig: print, ...flags }: ServeFlags & { printConfig: boolean }) => {
    const resolved = await readServeConfig(flags, process.env);
    if (print) {
      process.stdout.write(printConfig(resolved));
      return;
    }
    const { config } = resolved;
    const { address, metricsAddress, adminAddress, device, workers, threads, openHealth } = config;
    const logger = createLogger(config.logLevel);
    const { tls, store, reload } = await openSecurity(config, logger);
    const folder = config.model === undefined ? bundledModelFolder : await findModel(config.model[0]!);
    const engine = await openEngine(folder, { device, workers, ...(threads !== undefined && { threads }) }, (message) =>
      logger.info(message),
    );
    const auth = store && { store, openHealth };
    const server = await createServer({ engine, address, metricsAddress, logger, limits: limitsOf(config), tls, auth });
    const admin = await startAdminServer({
      ...{ address: adminAddress, tls, store, reload, logger },
      config: () => redactConfig(resolved),
    }).catch(async (error: unknown) => {
      await server.close(true);
      throw error;
    });
    process.on('SIGHUP', () => {
      logger.info({ signal: 'SIGHUP' }, 'reloading');
      // It reports its failures itself.
      void reload();
    });
    const ended = serveToTheEnd(server, logger);
    const { name, version } = engine.manifest;
    logger.info(
      {
        address: server.address,
        metricsAddress: server.metricsAddress,
        adminAddress: admin.address,
        tls: tls === undefined ? 'off' : config.tlsClientCa === undefined ? 'server' : 'mutual',
        tokens: store !== undefined,
        model: name,
        version,
        provider: engine.provider,
      },
      'serving',
    );
    await ended;
    await admin.close();
  });
}
