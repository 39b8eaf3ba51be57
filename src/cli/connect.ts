import type { Command } from 'commander';
import { type Client, createClient, createClientOver } from '../client/client.js';
import { VicreglError } from '../client/vicreglError.js';
import type { Manifest } from '../models/manifest.js';
import { createService } from '../serve/api/service.js';
import { hinted } from './connectionHint.js';
import { bundledModelFolder, DEFAULT_ADDRESS } from './defaults.js';
import { addEngineFlags, type EngineFlags, openEngine } from './engine.js';
import { createLocalTransport } from './localTransport.js';
import { ofInput } from './ofInput.js';
import { refuseFlags } from './refuseFlags.js';
import { addSecurityFlags, readSecurity, type SecurityFlags, securityFlagNames } from './securityFlags.js';

/** How a command runs the model: by a running service, or in this process. */
export interface ConnectFlags extends EngineFlags, SecurityFlags {
  readonly address?: string;
  /** A model folder to run in this process. */
  readonly model?: string;
  /** Run the bundled model in this process. */
  readonly local: boolean;
}

/** Rejects flags that contradict each other or would be ignored. */
function checkConnectFlags(command: Command): void {
  const given = ['address', 'model', 'local'].filter((flag) => command.getOptionValueSource(flag) === 'cli');
  if (given.length > 1) {
    throw new VicreglError(
      'INVALID_ARGUMENT',
      `${given.map((flag) => `--${flag}`).join(' and ')} cannot be combined; use one of them`,
    );
  }
  if (given.length === 1 && given[0] !== 'address') {
    refuseFlags(
      command,
      securityFlagNames,
      `ignored with --${given[0]}, which calls no service; leave out, or use --address`,
    );
  } else {
    refuseFlags(
      command,
      ['device', 'threads'],
      'applies to a model in this process, not to a service; leave out, or add --local or --model',
    );
  }
}

/** Adds --address, --local and --model, the engine's flags, and those for TLS and tokens. */
export function addConnectFlags(command: Command): Command {
  const local = addEngineFlags(
    command
      .option('--address <host:port>', `address of a running service (default: ${DEFAULT_ADDRESS})`)
      .option('--local', 'run the bundled model in this process, without a service', false)
      .option('--model <model>', 'run a model, by path or by name, in this process, without a service'),
  );
  return addSecurityFlags(local).hook('preAction', checkConnectFlags);
}

/**
 * Opens a client according to the flags, passes it to `work`, and always closes it.
 * @param work also gets the manifest of a model that runs in this process; a service does not state its files.
 */
export async function withClient(
  flags: ConnectFlags,
  work: (client: Client, local?: Manifest) => Promise<void>,
): Promise<void> {
  const folder = flags.model ?? (flags.local ? bundledModelFolder : undefined);
  if (folder !== undefined) {
    // The log is discarded: that `auto` falls back to the CPU on a machine without CUDA is not of interest here.
    const engine = await ofInput('--model', folder, () => openEngine(folder, flags, () => {}));
    const client = createClientOver(createLocalTransport(createService({ models: [{ engine }] })));
    return closing(client, (opened) => work(opened, engine.manifest));
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
