import type { Command } from 'commander';
import { addConnectFlags, type ConnectFlags, withClient } from './connect.js';
import { printJson } from './printJson.js';

/** `vicregl model`: describes the served model. */
export function registerModel(program: Command): void {
  const command = program
    .command('model')
    .description('Print the description of a model as JSON: architecture, outputs, preprocessing, training.');
  addConnectFlags(command).action((flags: ConnectFlags) =>
    withClient(flags, async (client) => printJson(await client.model())),
  );
}
