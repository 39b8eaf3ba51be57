import type { Logger } from 'pino';
import { readTraceSettings } from './settings.js';
import type { Tracing } from './tracing.js';

/**
 * Starts tracing if the variables of OpenTelemetry switch it on. Its packages are loaded only then. What is wrong with the variables is
 * logged and does not stop the service.
 * @returns undefined if calls are not traced
 */
export async function openTracing(
  env: Readonly<NodeJS.ProcessEnv>,
  logger: Pick<Logger, 'info' | 'warn'>,
  version: string,
): Promise<Tracing | undefined> {
  const { settings, warnings } = readTraceSettings(env);
  for (const warning of warnings) logger.warn(warning);
  if (!settings) return undefined;
  try {
    const { startOpenTelemetry } = await import('./openTelemetry.js');
    return await startOpenTelemetry(settings, { logger, version });
  } catch (error) {
    logger.warn({ err: error }, 'calls are not traced: OpenTelemetry cannot start with these OTEL_ variables');
    return undefined;
  }
}
