import { inspect } from 'node:util';
import { VicreglError } from '../client/vicreglError.js';
import { escapedText } from '../files/controlCharacters.js';
import { fileProblem, isFileError } from '../files/fileProblem.js';

/** The message of an error; file system errors, which have a code and a system call, are described in words with their path. */
function textOf(error: unknown): string {
  if (isFileError(error) && error.path !== undefined) return `${error.path}: ${fileProblem(error)} (${error.syscall})`;
  return error instanceof Error ? error.message : String(error);
}

/**
 * Prints one line to stderr and sets exit code 1; with VICREGL_DEBUG=1, prints the whole error with its stack.
 * @param where process in which it happened, of several
 */
export function reportError(error: unknown, where?: string): void {
  process.exitCode = 1;
  if (process.env['VICREGL_DEBUG']) {
    console.error(escapedText(inspect(error)));
    return;
  }
  const message = textOf(error);
  const code = error instanceof VicreglError ? `${error.code}: ` : '';
  const place = where === undefined ? '' : `${where}: `;
  console.error(escapedText(`vicregl: ${place}${code}${message} (VICREGL_DEBUG=1 shows more)`));
}
