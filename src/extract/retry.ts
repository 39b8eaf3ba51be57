import { setTimeout as delay } from 'node:timers/promises';
import type { VicreglError } from '../client/vicreglError.js';

/** Attempts to reach a service after an answer, before it is given up: a minute or two in all. */
export const RETRIES = 8;
const FIRST_S = 0.5;
const LONGEST_S = 30;

/** Whether the same request can succeed later. */
export function isTransient({ code, reason }: VicreglError): boolean {
  if (code === 'UNAVAILABLE' || code === 'ABORTED') return true;
  return code === 'RESOURCE_EXHAUSTED' && (reason === 'OVERLOADED' || reason === 'RATE_LIMITED');
}

/** Whether the error is about this image, and other images can succeed. */
export function isOfImage({ code, reason }: VicreglError): boolean {
  if (code === 'INVALID_ARGUMENT' || code === 'OUT_OF_RANGE' || code === 'INTERNAL') return true;
  return code === 'RESOURCE_EXHAUSTED' && reason !== 'OVERLOADED' && reason !== 'RATE_LIMITED';
}

/** Options by the fields of requests with which errors about them begin. */
const OPTIONS = ['upsample', 'tiles', 'space', 'stages', 'dtype'] as const;

/**
 * The option that an error is about, if every other image would get the same answer.
 * @param ownSizes whether images keep their sizes, on which it depends then whether a size of cells or windows fits
 */
export function optionOf({ message }: VicreglError, ownSizes: boolean): (typeof OPTIONS)[number] | undefined {
  const option = OPTIONS.find((field) => new RegExp(`^${field}\\b`).test(message));
  return ownSizes && (option === 'upsample' || option === 'tiles') ? undefined : option;
}

/**
 * Seconds to wait before an attempt: doubled each time, up to 30 s, and drawn between half and all of that, so that the clients of
 * a service that restarts do not come back at the same moment. Not less than the service asks for.
 * @param attempt counted from 1
 */
export function backOffSeconds(attempt: number, { retryAfterSeconds = 0 }: VicreglError, random: () => number): number {
  const longest = Math.min(LONGEST_S, FIRST_S * 2 ** (attempt - 1));
  return Math.max(retryAfterSeconds, longest * (0.5 + random() / 2));
}

/** Waits before an attempt. @throws the signal's reason when it is aborted */
export async function backOff(attempt: number, error: VicreglError, signal: AbortSignal): Promise<void> {
  await delay(backOffSeconds(attempt, error, Math.random) * 1000, undefined, { signal });
}
