import { Console } from 'node:console';
import { writeSync } from 'node:fs';
import { inspect } from 'node:util';
import { escapedText } from '../files/controlCharacters.js';
import { openFileKind } from '../files/openFileKind.js';
import { reportError } from './reportError.js';

/**
 * Writes all of the output where it goes to a file. Node writes each text with one call of the system and takes a short write, as on a
 * full disk, for a whole one.
 */
function writeFilesWhole(stream: NodeJS.WriteStream & { readonly fd: number }): void {
  if (!openFileKind(stream.fd).isFile()) return;
  stream._write = (bytes: Uint8Array, _encoding, done) => {
    try {
      for (let at = 0; at < bytes.byteLength; ) at += writeSync(stream.fd, bytes, at);
    } catch (error) {
      done(error as Error);
      return;
    }
    done();
  };
}

/** A console whose texts cannot command the terminal: they have names and messages from files. */
function escapingConsole(stdout: NodeJS.WriteStream, stderr: NodeJS.WriteStream): Console {
  const made = new Console({ stdout, stderr, ignoreErrors: false });
  for (const method of ['log', 'info', 'warn', 'error'] as const) {
    const print = made[method].bind(made);
    made[method] = (...values: unknown[]) =>
      print('%s', values.map((value) => escapedText(typeof value === 'string' ? value : inspect(value))).join(' '));
  }
  return made;
}

/**
 * Defines what a command does when its output cannot be written, and keeps control characters in it from the terminal.
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
  for (const stream of [stdout, stderr]) writeFilesWhole(stream);
  globalThis.console = escapingConsole(stdout, stderr);
}
