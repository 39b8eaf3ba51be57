import { type DestinationStream, type Logger, pino } from 'pino';
import { LogOutput, standardOutput } from './logOutput.js';

/** Fields that could contain a token or its hash, at any depth of a logged object. */
const secretFields = ['authorization', 'token', 'sha256', 'key', 'privateKey'];

/**
 * JSON lines without secrets.
 * @param destination default: standard output, buffered
 */
export function createLogger(level: string, destination: DestinationStream = new LogOutput(standardOutput())): Logger {
  const paths = secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`, `*.*.*.${field}`]);
  return pino({ level, redact: { paths, censor: '[redacted]' } }, destination);
}
