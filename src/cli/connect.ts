import type { Command } from 'commander';
import { type Client, createClient, createClientOver } from '../client/client.js';
import { VicreglError } from '../client/vicreglError.js';
import { createService } from '../serve/service.js';
import { bundledModelFolder, DEFAULT_ADDRESS } from './defaults.js';
import { addEngineFlags, type EngineFlags, openEngine } from './engine.js';
import { createLocalTransport } from './localTransport.js';

/** Where a command gets its answers: a running service, or a model run within this process. */
export interface ConnectFlags extends EngineFlags {
  readonly address?: string;
  /** A folder, or true for the bundled model. */
  readonly model?: string | true;
}

/** Adds --address and --model with the engine's flags. */
export function addConnectFlags(command: Command): Command {
  return addEngineFlags(
    command
      .option('--address <host:port>', `a running service (default: ${DEFAULT_ADDRESS})`)
      .option('--model [dir]', 'run a model folder in this process, without a service (no folder: the bundled model)'),
  );
}

/** Opens the client that the flags ask for, gives it to `work`, and closes it in any case. */
export async function withClient(flags: ConnectFlags, work: (client: Client) => Promise<void>): Promise<void> {
  if (flags.address !== undefined && flags.model !== undefined) {
    throw new VicreglError('INVALID_ARGUMENT', '--address and --model exclude each other; give one of them');
  }
  if (flags.model !== undefined) {
    // `auto` on a machine without CUDA is no news here: the answer is what counts.
    const engine = await openEngine(flags.model === true ? bundledModelFolder : flags.model, flags, () => {});
    return closing(createClientOver(createLocalTransport(createService({ engine }))), work);
  }
  const address = flags.address ?? DEFAULT_ADDRESS;
  try {
    await closing(createClient({ address }), work);
  } catch (error) {
    if (!(error instanceof VicreglError && error.code === 'UNAVAILABLE')) throw error;
    throw new VicreglError(
      'UNAVAILABLE',
      `no answer from ${address} (${error.message}); start a service with "vicregl serve", or add --model to run without one`,
      { cause: error },
    );
  }
}

async function closing(client: Client, work: (client: Client) => Promise<void>): Promise<void> {
  try {
    await work(client);
  } finally {
    await client.close();
  }
}
