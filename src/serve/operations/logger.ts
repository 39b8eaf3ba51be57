import { type DestinationStream, type Logger, pino } from 'pino';
import { LogOutput, standardOutput } from './logOutput.js';

/** Fields that could contain a token or its hash, at any depth of a logged object. */
const secretFields = ['authorization', 'token', 'sha256', 'key', 'privateKey'];

/** Maximum length of a text of a logged error, such as its stack. */
const TEXT_CHARACTERS = 4096;

/** Maximum elements of a list or an object of a logged error. */
const ELEMENTS = 32;

/** Maximum nesting of a logged error. */
const DEPTH = 4;

/** Cuts the texts of a value, and its lists. */
function cut(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') {
    const more = value.length - TEXT_CHARACTERS;
    return more > 0 ? `${value.slice(0, TEXT_CHARACTERS)}... (${more} more characters)` : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  if (depth === DEPTH || ArrayBuffer.isView(value)) return '[cut]';
  if (Array.isArray(value)) return value.slice(0, ELEMENTS).map((each) => cut(each, depth + 1));
  const entries = Object.entries(value).slice(0, ELEMENTS);
  return Object.fromEntries(entries.map(([key, each]) => [key.slice(0, TEXT_CHARACTERS), cut(each, depth + 1)]));
}

/**
 * JSON lines without secrets. Errors are cut: whoever writes a message quotes little of what a caller has sent, but libraries may
 * quote all of it, and one line of megabytes displaces the lines of others (see LogOutput).
 * @param destination default: standard output, buffered
 */
export function createLogger(level: string, destination: DestinationStream = new LogOutput(standardOutput())): Logger {
  const paths = secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`, `*.*.*.${field}`]);
  const serializers = { err: (error: Error) => cut(pino.stdSerializers.err(error)) };
  return pino({ level, redact: { paths, censor: '[redacted]' }, serializers }, destination);
}
