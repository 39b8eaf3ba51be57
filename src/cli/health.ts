import type { Command } from 'commander';
import { checkHealth } from '../client/health.js';
import { hinted } from './connectionHint.js';
import { DEFAULT_ADDRESS } from './defaults.js';
import { addSecurityFlags, readSecurity, type SecurityFlags } from './securityFlags.js';
import { wholeNumber } from './wholeNumber.js';

interface HealthFlags extends SecurityFlags {
  readonly address: string;
  readonly service: string;
  readonly timeout: number;
}

/** `vicregl health`: for health checks of containers, which need an exit code. */
export function registerHealth(program: Command): void {
  const command = program
    .command('health')
    .description('Check by grpc.health.v1 whether a service is serving. Exits with 0 if it is, else with 1.')
    .option('--address <host:port>', 'address of the service', DEFAULT_ADDRESS)
    .option('--service <name>', 'name of a gRPC service (default: the whole server)', '')
    .option('--timeout <ms>', 'timeout in milliseconds', wholeNumber(1, 600_000), 5000);
  addSecurityFlags(command).action(async (flags: HealthFlags) => {
    const { address, service, timeout } = flags;
    const security = await readSecurity(flags, process.env);
    const status = await checkHealth({ address, service, deadlineMs: timeout, ...security }).catch(
      async (error: unknown) => {
        throw await hinted(error, address, security, 'start a service with "vicregl serve"');
      },
    );
    console.log(status);
    if (status !== 'SERVING') process.exitCode = 1;
  });
}
