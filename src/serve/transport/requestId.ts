import { randomUUID } from 'node:crypto';

/** Metadata key of a call's id, in both directions. */
export const requestIdKey = 'x-request-id';

/** The id that a caller gives, where it can stand in logs and headers: up to 128 characters, such as a UUID or trace id. */
export function requestId(given: string | undefined): string {
  return given !== undefined && /^[\w.:/+=@-]{1,128}$/.test(given) ? given : randomUUID();
}
