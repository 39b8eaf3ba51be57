import type { Command } from 'commander';
import { Option } from 'commander';
import { pino } from 'pino';
import { createServer } from '../serve/server.js';
import { serveToTheEnd } from '../serve/shutdown.js';
import { bundledModelFolder, DEFAULT_ADDRESS, DEFAULT_METRICS_ADDRESS } from './defaults.js';
import { addEngineFlags, type EngineFlags, openEngine } from './engine.js';
import { addLimitFlags, type LimitFlags, serveLimits } from './limitFlags.js';

/** Exit code after the engine died. */
const ENGINE_DIED = 70;

interface ServeFlags extends EngineFlags, LimitFlags {
  readonly model: string;
  readonly address: string;
  readonly metricsAddress: string;
  readonly logLevel: string;
}

/** `vicregl serve`: the gRPC service until SIGINT or SIGTERM, or until its engine dies. */
export function registerServe(program: Command): void {
  const command = program
    .command('serve')
    .description('Serve a model over gRPC, with health, reflection and metrics.')
    .option('--model <dir>', 'model folder', bundledModelFolder)
    .option('--address <host:port>', 'where gRPC listens; port 0 takes a free one', DEFAULT_ADDRESS)
    .option('--metrics-address <host:port>', 'where /metrics, /healthz and /readyz listen', DEFAULT_METRICS_ADDRESS)
    .addOption(
      new Option('--log-level <level>', 'debug also logs every answered call')
        .choices(['debug', 'info', 'warn', 'error', 'silent'])
        .default('info'),
    );
  addLimitFlags(addEngineFlags(command)).action(async (flags: ServeFlags) => {
    const logger = pino({ level: flags.logLevel });
    const engine = await openEngine(flags.model, flags, (message) => logger.info(message));
    const { address, metricsAddress } = flags;
    const server = await createServer({ engine, address, metricsAddress, logger, limits: serveLimits(flags) });
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
    // An orchestrator restarts what ends with a code other than 0.
    if ((await ended) === 'engine died') process.exitCode = ENGINE_DIED;
  });
}
