import type { Command } from 'commander';
import { addConnectFlags, type ConnectFlags, withClient } from './connect.js';
import { printJson } from './printJson.js';

/** `vicregl model`: what the served model is. */
export function registerModel(program: Command): void {
  const command = program
    .command('model')
    .description('What a model is, what it computes and what it has seen, as JSON.');
  addConnectFlags(command).action((flags: ConnectFlags) =>
    withClient(flags, async (client) => printJson(await client.model())),
  );
}
