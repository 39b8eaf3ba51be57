import { Command } from 'commander';
import { packageVersion } from '../models/packageVersion.js';
import { commands } from './commands.js';
import { reportError } from './reportError.js';

const program = new Command('vicregl')
  .description('VICRegL: self-supervised learning of local visual features, and a gRPC service for them.')
  .version(packageVersion())
  .showHelpAfterError('(add --help for the options)');

// Help, a misspelt name and flags in front of the name need all of them.
const name = process.argv[2] ?? '';
const called = Object.hasOwn(commands, name) ? [commands[name]!] : Object.values(commands);
for (const load of called) (await load())(program);

await program.parseAsync().catch(reportError);
