import { Command } from 'commander';
import { packageVersion } from '../models/packageVersion.js';
import { commands } from './commands.js';
import { reportError } from './reportError.js';

/**
 * Runs the command line `vicregl ...`. A command that fails prints its error and sets the exit code of the process.
 * @param words the arguments after the name of the program
 */
export async function runProgram(words: readonly string[]): Promise<void> {
  const program = new Command('vicregl')
    .description('VICRegL: self-supervised learning of local visual features, and a gRPC service for them.')
    .version(packageVersion())
    .showHelpAfterError('(use --help for a list of options)');

  // Help, a misspelt name, and flags before the name need all commands.
  const name = words[0] ?? '';
  const called = Object.hasOwn(commands, name) ? [commands[name]!] : Object.values(commands);
  for (const load of called) (await load())(program);

  await program.parseAsync(words, { from: 'user' }).catch(reportError);
}
