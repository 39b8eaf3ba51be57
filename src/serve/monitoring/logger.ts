import { type DestinationStream, type Logger, pino } from 'pino';

/** Fields that could hold a token or its hash, wherever an object that is logged has them. */
const secretFields = ['authorization', 'token', 'sha256', 'key', 'privateKey'];

/**
 * JSON lines without secrets.
 * @param destination default: stdout
 */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const paths = secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`, `*.*.*.${field}`]);
  return pino({ level, redact: { paths, censor: '[redacted]' } }, destination);
}
