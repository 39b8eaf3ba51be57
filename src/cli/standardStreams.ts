import { Console } from 'node:console';
import { reportError } from './reportError.js';

/**
 * Defines what a command does when its output cannot be written.
 *
 * - The reader is gone, as with `vicregl train ... | head`: the output is discarded and the command continues. Its files matter more
 *   than its output.
 * - Another error, such as a full disk behind `> file`: reported, with exit code 1. Node's own console would hide it.
 *
 * Without it, the first case ends the process with an uncaught error.
 */
export function guardStandardStreams(): void {
  const { stdout, stderr } = process;
  let reported = false;
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || reported) return;
    reported = true;
    reportError(new Error(`the output cannot be written to standard output: ${error.message}`));
  });
  // There is no place to report it.
  stderr.on('error', () => {});
  globalThis.console = new Console({ stdout, stderr, ignoreErrors: false });
}
