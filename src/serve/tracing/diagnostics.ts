import type { DiagLogger } from '@opentelemetry/api';
import type { Logger } from 'pino';

/** Milliseconds in which a message is logged once, whatever numbers it contains. */
const REPEAT_MS = 60_000;

/** Maximum length of a message in characters. */
const MAX_TEXT = 500;

/** Kinds of messages to remember; the packages have some dozens. */
const MAX_KINDS = 200;

/** Writes the warnings of OpenTelemetry's packages to the log: each kind once a minute, without passwords of URLs. */
export function createDiagnostics(logger: Pick<Logger, 'warn'>, now = Date.now): DiagLogger {
  const logged = new Map<string, number>();
  const warn = (...parts: unknown[]): void => {
    const text = parts
      .map((part) => (part instanceof Error ? part.message : String(part)))
      .join(' ')
      .replace(/\/\/[^/@\s]*@/g, '//[redacted]@')
      .slice(0, MAX_TEXT);
    const kind = text.replace(/\d+/g, '');
    if (now() - (logged.get(kind) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) return;
    if (logged.size >= MAX_KINDS) logged.clear();
    logged.set(kind, now());
    logger.warn({ component: 'opentelemetry' }, text);
  };
  const ignore = (): void => {};
  return { error: warn, warn, info: ignore, debug: ignore, verbose: ignore };
}
