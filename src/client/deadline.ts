import { VicreglError } from './vicreglError.js';

/**
 * The longest deadline. grpc-js sends one of more than 99,999,999 ms in seconds, rounded up, and a service of grpc-js reads it as a 32-bit
 * number of ms: a longer one would overflow there and expire at once.
 */
export const MAX_DEADLINE_MS = 2_147_483_000;

/**
 * Checks a duration in ms, which may be Infinity.
 * @throws VicreglError `INVALID_ARGUMENT` naming the field.
 */
export function durationMs(field: string, value: number): number {
  if (typeof value === 'number' && !Number.isNaN(value)) return value;
  throw new VicreglError(
    'INVALID_ARGUMENT',
    `${field}: ${String(value)} is not a number of milliseconds; give one, or Infinity for no limit`,
  );
}

/** The option of grpc-js for a deadline in `ms` from now. @throws VicreglError as `durationMs`. */
export function deadlineIn(ms: number): { deadline?: number } {
  if (durationMs('deadlineMs', ms) === Number.POSITIVE_INFINITY) return {};
  return { deadline: Date.now() + Math.min(ms, MAX_DEADLINE_MS) };
}
