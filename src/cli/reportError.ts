import { VicreglError } from '../client/vicreglError.js';
import { fileProblem, isFileError } from '../files/fileProblem.js';

/** What the file system says comes as a code and a system call: here in words, with the path. */
function textOf(error: unknown): string {
  if (isFileError(error) && error.path !== undefined) return `${error.path}: ${fileProblem(error)} (${error.syscall})`;
  return error instanceof Error ? error.message : String(error);
}

/** Prints one clear line to stderr and sets exit code 1; VICREGL_DEBUG=1 adds the stack. */
export function reportError(error: unknown): void {
  process.exitCode = 1;
  if (process.env['VICREGL_DEBUG']) {
    console.error(error);
    return;
  }
  const message = textOf(error);
  const code = error instanceof VicreglError ? `${error.code}: ` : '';
  console.error(`vicregl: ${code}${message} (VICREGL_DEBUG=1 shows more)`);
}
