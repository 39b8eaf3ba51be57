import { type DestinationStream, type Logger, pino } from 'pino';

/** Fields that could hold a token or its hash, wherever an object that is logged has them. */
const secretFields = ['authorization', 'token', 'sha256', 'key', 'privateKey'];

/**
 * Standard output, written beside the service some lines at a time: under load each write of its own would take a third of a
 * millisecond of the thread that answers. Lines are late by `periodicFlush` ms at most. What is left when the process ends by
 * itself is written then; SIGKILL loses it.
 */
function bufferedOutput(): DestinationStream {
  return pino.destination({ dest: 1, sync: false, minLength: 4096, periodicFlush: 100 });
}

/**
 * JSON lines without secrets.
 * @param destination default: stdout
 */
export function createLogger(level: string, destination: DestinationStream = bufferedOutput()): Logger {
  const paths = secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`, `*.*.*.${field}`]);
  return pino({ level, redact: { paths, censor: '[redacted]' } }, destination);
}
