import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { escapedText } from '../files/controlCharacters.js';
import { packageVersion } from '../models/packageVersion.js';
import { commands } from './commands.js';
import { reportError } from './reportError.js';

const ignore = (): void => undefined;

/**
 * Lets a file beyond the size limit (ulimit -f) be an error of the write, like a full disk. Node ignores the signal at first, but
 * signal-exit, which removes temporary files, handles it, and then restores the default, which kills the process.
 */
function ignoreFileSizeSignal(): void {
  if (process.platform !== 'win32' && !process.listeners('SIGXFSZ').includes(ignore)) process.on('SIGXFSZ', ignore);
}

/**
 * Help, a version or a wrong command line: Commander has printed it. The process ends by itself, so that an output that cannot be
 * written is reported.
 */
const isPrinted = (error: unknown): error is CommanderError =>
  error instanceof CommanderError && !(error instanceof InvalidArgumentError);

/**
 * Runs the command line `vicregl ...`. A command that fails prints its error and sets the exit code of the process.
 * @param words the arguments after the name of the program
 */
export async function runProgram(words: readonly string[]): Promise<void> {
  ignoreFileSizeSignal();
  const program = new Command('vicregl')
    .description('VICRegL: self-supervised learning of local visual features, and a gRPC service for them.')
    .version(packageVersion())
    .showHelpAfterError('(use --help for a list of options)')
    .configureOutput({ writeErr: (text) => process.stderr.write(escapedText(text)) })
    .exitOverride();

  // Help, a misspelt name, and flags before the name need all commands.
  const name = words[0] ?? '';
  const called = Object.hasOwn(commands, name) ? [commands[name]!] : Object.values(commands);
  for (const load of called) (await load())(program);

  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (!isPrinted(error)) reportError(error);
    else if (error.exitCode !== 0) process.exitCode = error.exitCode;
  }
}
