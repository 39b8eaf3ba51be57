import type { Command } from 'commander';
import { pino } from 'pino';
import { limitsOf } from '../serve/config/limits.js';
import { printConfig } from '../serve/config/print.js';
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
    const logger = pino({ level: config.logLevel });
    const { device, workers, threads, address, metricsAddress } = config;
    const folder = config.model === undefined ? bundledModelFolder : await findModel(config.model[0]!);
    const engine = await openEngine(folder, { device, workers, ...(threads !== undefined && { threads }) }, (message) =>
      logger.info(message),
    );
    const server = await createServer({ engine, address, metricsAddress, logger, limits: limitsOf(config) });
    const ended = serveToTheEnd(server, logger);
    const { name, version } = engine.manifest;
    logger.info(
      {
        address: server.address,
        metricsAddress: server.metricsAddress,
        model: name,
        version,
        provider: engine.provider,
      },
      'serving',
    );
    await ended;
  });
}
