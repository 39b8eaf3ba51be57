import { Command } from 'commander';
import { packageVersion } from '../models/packageVersion.js';
import { commands } from './commands.js';
import { reportError } from './reportError.js';

/**
 * Runs the command line `vicregl ...`. A command that fails prints its error and sets the process's exit code.
 * @param words behind the program's name
 */
export async function runProgram(words: readonly string[]): Promise<void> {
  const program = new Command('vicregl')
    .description('VICRegL: self-supervised learning of local visual features, and a gRPC service for them.')
    .version(packageVersion())
    .showHelpAfterError('(add --help for the options)');

  // Help, a misspelt name and flags in front of the name need all of them.
  const name = words[0] ?? '';
  const called = Object.hasOwn(commands, name) ? [commands[name]!] : Object.values(commands);
  for (const load of called) (await load())(program);

  await program.parseAsync(words, { from: 'user' }).catch(reportError);
}
