import { status } from '@grpc/grpc-js';
import { EngineError, type EngineErrorCode } from '../engine/engine.js';
import { ImageError, type ImageErrorCode } from '../image/imageError.js';
import { MatchError, type MatchErrorCode } from '../match/matchError.js';
import { ServeError, type ServeErrorCode } from './serveError.js';

/** A gRPC status: what a client sees of an error. */
export interface Status {
  readonly code: status;
  readonly details: string;
}

/** The one table from every layer's error codes to gRPC status. */
const statusOf: {
  readonly image: Readonly<Record<ImageErrorCode, status>>;
  readonly engine: Readonly<Record<EngineErrorCode, status>>;
  readonly match: Readonly<Record<MatchErrorCode, status>>;
  readonly serve: Readonly<Record<ServeErrorCode, status>>;
} = {
  image: {
    unsupported_format: status.INVALID_ARGUMENT,
    too_large: status.INVALID_ARGUMENT,
    corrupt: status.INVALID_ARGUMENT,
    bad_dimensions: status.INVALID_ARGUMENT,
  },
  engine: {
    unavailable: status.UNAVAILABLE,
    // Requests are checked before the engine sees them: what it still refuses is our mistake.
    invalid_input: status.INTERNAL,
    internal: status.INTERNAL,
  },
  match: {
    bad_option: status.INVALID_ARGUMENT,
    // The maps come from the model: a caller cannot mend what is wrong with them.
    bad_input: status.INTERNAL,
    not_finite: status.INTERNAL,
  },
  serve: {
    invalid_argument: status.INVALID_ARGUMENT,
    unknown_model: status.NOT_FOUND,
    missing_head: status.FAILED_PRECONDITION,
    overloaded: status.RESOURCE_EXHAUSTED,
    too_large: status.RESOURCE_EXHAUSTED,
    cancelled: status.CANCELLED,
    deadline_exceeded: status.DEADLINE_EXCEEDED,
    shutting_down: status.UNAVAILABLE,
  },
};

/**
 * Longest message put into a status, in characters. It travels percent-encoded in a header, and HTTP/2 peers drop
 * header lists over 16 KiB: the client would see a broken stream in place of the reason.
 */
const MAX_DETAILS = 1024;

/** Details that a header can carry: of bounded length and without lone surrogates, on which grpc-js would throw. */
function headerSafe(details: string): string {
  const cut = details.length > MAX_DETAILS ? `${details.slice(0, MAX_DETAILS)}...` : details;
  return cut.replace(/\p{Surrogate}/gu, '\ufffd');
}

/** The status of anything thrown. What is not one of our errors is INTERNAL, its text kept for the log. */
export function toStatus(error: unknown): Status {
  if (error instanceof ImageError) return { code: statusOf.image[error.code], details: headerSafe(error.message) };
  if (error instanceof ServeError) return { code: statusOf.serve[error.code], details: headerSafe(error.message) };
  if (error instanceof EngineError) return { code: statusOf.engine[error.code], details: headerSafe(error.message) };
  if (error instanceof MatchError) return { code: statusOf.match[error.code], details: headerSafe(error.message) };
  return { code: status.INTERNAL, details: 'internal error; the log of the server has the details' };
}
