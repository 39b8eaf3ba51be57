import type { Command } from 'commander';
import { type Client, createClient, createClientOver } from '../client/client.js';
import { VicreglError } from '../client/vicreglError.js';
import { createService } from '../serve/api/service.js';
import { hinted } from './connectionHint.js';
import { bundledModelFolder, DEFAULT_ADDRESS } from './defaults.js';
import { addEngineFlags, type EngineFlags, openEngine } from './engine.js';
import { createLocalTransport } from './localTransport.js';
import { ofInput } from './ofInput.js';
import { addSecurityFlags, readSecurity, type SecurityFlags } from './securityFlags.js';

/** Where a command gets its answers: a running service, or a model run within this process. */
export interface ConnectFlags extends EngineFlags, SecurityFlags {
  readonly address?: string;
  /** A model folder to run in this process. */
  readonly model?: string;
  /** Run the bundled model in this process. */
  readonly local: boolean;
}

/** Refuses flags that contradict each other, or that would be ignored. */
function checkConnectFlags(command: Command): void {
  const given = ['address', 'model', 'local'].filter((flag) => command.getOptionValueSource(flag) === 'cli');
  if (given.length > 1) {
    throw new VicreglError(
      'INVALID_ARGUMENT',
      `${given.map((flag) => `--${flag}`).join(' and ')} exclude each other; give one of them`,
    );
  }
  if (given.length === 1 && given[0] !== 'address') return;
  for (const flag of ['device', 'threads']) {
    if (command.getOptionValueSource(flag) !== 'cli') continue;
    throw new VicreglError(
      'INVALID_ARGUMENT',
      `--${flag} is for a model in this process, and a service has its own; leave it out, or add --local or --model`,
    );
  }
}

/** Adds --address, --local and --model with the engine's flags and those of a guarded service. */
export function addConnectFlags(command: Command): Command {
  const local = addEngineFlags(
    command
      .option('--address <host:port>', `a running service (default: ${DEFAULT_ADDRESS})`)
      .option('--local', 'run the bundled model in this process, without a service', false)
      .option('--model <dir>', 'run a model folder in this process, without a service'),
  );
  return addSecurityFlags(local).hook('preAction', checkConnectFlags);
}

/** Opens the client that the flags ask for, gives it to `work`, and closes it in any case. */
export async function withClient(flags: ConnectFlags, work: (client: Client) => Promise<void>): Promise<void> {
  const folder = flags.model ?? (flags.local ? bundledModelFolder : undefined);
  if (folder !== undefined) {
    // `auto` on a machine without CUDA is no news here: the answer is what counts.
    const engine = await ofInput('--model', folder, () => openEngine(folder, flags, () => {}));
    return closing(createClientOver(createLocalTransport(createService({ models: [{ engine }] }))), work);
  }
  const address = flags.address ?? DEFAULT_ADDRESS;
  const security = await readSecurity(flags, process.env);
  try {
    await closing(createClient({ address, ...security }), work);
  } catch (error) {
    const otherwise = 'start a service with "vicregl serve", or add --local to run without one';
    throw await hinted(error, address, security, otherwise);
  }
}

async function closing(client: Client, work: (client: Client) => Promise<void>): Promise<void> {
  try {
    await work(client);
  } finally {
    await client.close();
  }
}
