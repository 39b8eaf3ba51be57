import { type StatusCode, status } from '../../proto/status.js';
import type { Status } from '../call/errors.js';

/** The HTTP status of each gRPC status, by the comments of google/rpc/code.proto. */
const ofCode: Readonly<Record<StatusCode, number>> = {
  [status.OK]: 200,
  [status.CANCELLED]: 499,
  [status.UNKNOWN]: 500,
  [status.INVALID_ARGUMENT]: 400,
  [status.DEADLINE_EXCEEDED]: 504,
  [status.NOT_FOUND]: 404,
  [status.ALREADY_EXISTS]: 409,
  [status.PERMISSION_DENIED]: 403,
  [status.RESOURCE_EXHAUSTED]: 429,
  [status.FAILED_PRECONDITION]: 400,
  [status.ABORTED]: 409,
  [status.OUT_OF_RANGE]: 400,
  [status.UNIMPLEMENTED]: 501,
  [status.INTERNAL]: 500,
  [status.UNAVAILABLE]: 503,
  [status.DATA_LOSS]: 500,
  [status.UNAUTHENTICATED]: 401,
};

/**
 * Reasons with a status of their own in HTTP. TOO_LARGE is RESOURCE_EXHAUSTED in gRPC, but HTTP clients repeat a request that is
 * answered with 429, and this one would fail again.
 */
const ofReason: Readonly<Record<string, number>> = {
  TOO_LARGE: 413,
  WRONG_METHOD: 405,
  UNSUPPORTED_MEDIA_TYPE: 415,
  UNSUPPORTED_ENCODING: 415,
  NOT_ACCEPTABLE: 406,
  MESSAGE_LATE: 408,
};

/** The HTTP status of an error. */
export function httpStatus({ code, reason }: Pick<Status, 'code' | 'reason'>): number {
  return ofReason[reason] ?? ofCode[code];
}

/** The headers of an error: `retry-after` in whole seconds, `www-authenticate` and so on. */
export function errorHeaders({
  code,
  retryAfterSeconds,
}: Pick<Status, 'code' | 'retryAfterSeconds'>): Record<string, string> {
  return {
    ...(retryAfterSeconds !== undefined && { 'retry-after': String(Math.ceil(retryAfterSeconds)) }),
    ...(code === status.UNAUTHENTICATED && { 'www-authenticate': 'Bearer' }),
  };
}
