import { Command } from 'commander';
import { packageVersion } from '../models/packageVersion.js';
import { commands } from './commands.js';
import { reportError } from './reportError.js';

const program = new Command('vicregl')
  .description('VICRegL: self-supervised learning of local visual features, and a gRPC service for them.')
  .version(packageVersion())
  .showHelpAfterError('(use --help for a list of options)');

// Help, a misspelt name, and flags before the name need all commands.
const name = process.argv[2] ?? '';
const called = Object.hasOwn(commands, name) ? [commands[name]!] : Object.values(commands);
for (const load of called) (await load())(program);

await program.parseAsync().catch(reportError);
