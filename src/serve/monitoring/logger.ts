import { type DestinationStream, type Logger, pino } from 'pino';

/** Fields that could hold a token or its hash, wherever an object that is logged has them. */
const secretFields = ['authorization', 'token', 'sha256', 'key', 'privateKey'];

/**
 * JSON lines without secrets.
 * @param destination default: stdout, written while the service goes on: under load it must not wait for whoever reads its
 *   log. What has not been written when the process ends by itself is written then; SIGKILL loses it.
 */
export function createLogger(
  level: string,
  destination: DestinationStream = pino.destination({ dest: 1, sync: false }),
): Logger {
  const paths = secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`, `*.*.*.${field}`]);
  return pino({ level, redact: { paths, censor: '[redacted]' } }, destination);
}
