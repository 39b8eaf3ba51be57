import { VicreglError } from '../client/vicreglError.js';

/** Prints one clear line to stderr and sets exit code 1; VICREGL_DEBUG=1 adds the stack. */
export function reportError(error: unknown): void {
  process.exitCode = 1;
  if (process.env['VICREGL_DEBUG']) {
    console.error(error);
    return;
  }
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof VicreglError ? `${error.code}: ` : '';
  console.error(`vicregl: ${code}${message} (VICREGL_DEBUG=1 shows more)`);
}
