import { randomUUID } from 'node:crypto';
import { traceLogFields } from '../call/spanIds.js';
import type { CallSpan } from '../call/trace.js';

/** Name of the metadata entry or header with the id of a call, in both directions. */
export const requestIdKey = 'x-request-id';

/** What identifies a call in log lines. */
export interface CallIdentity {
  /** Also sent to the caller. */
  readonly requestId: string;
  /** Name of the token's holder, if calls need a token. */
  caller?: string;
  /** The protocol of the call, if it is not our own over gRPC. */
  readonly protocol?: string | undefined;
  /** Its server span, if calls are traced. */
  readonly span?: CallSpan | undefined;
}

/** The caller's id if it is safe in logs and headers (up to 128 characters, such as a UUID or a trace id), otherwise a new id. */
export function safeRequestId(given: string | undefined): string {
  return given !== undefined && /^[\w.:/+=@-]{1,128}$/.test(given) ? given : randomUUID();
}

/** The fields that identify a call in log lines. */
export function logFields(identity: CallIdentity | undefined): Readonly<Record<string, string>> {
  if (!identity) return {};
  const { requestId, caller, protocol, span } = identity;
  return {
    requestId,
    ...(caller !== undefined && { caller }),
    ...(protocol !== undefined && { protocol }),
    ...(span && traceLogFields(span.ids)),
  };
}
