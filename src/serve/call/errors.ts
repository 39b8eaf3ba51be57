import { DecoderError, type DecoderErrorCode } from '../../decode/decoder.js';
import { EngineError, type EngineErrorCode } from '../../engine/engine.js';
import { FeatureOpError, type FeatureOpErrorCode } from '../../featureOps/featureOpError.js';
import { ImageError, type ImageErrorCode } from '../../image/imageError.js';
import { MatchError, type MatchErrorCode } from '../../match/matchError.js';
import { type StatusCode, status } from '../../proto/status.js';
import type { StatusDetails } from '../../proto/statusDetails.js';
import { ServeError, type ServeErrorCode } from './serveError.js';

/** A gRPC status with the details that programs read: what a client sees of an error. */
export interface Status extends StatusDetails {
  readonly code: StatusCode;
}

/** An error whose status is already decided, such as that of an item which fails a whole call. */
export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly status: Status;

  constructor(status: Status, options?: ErrorOptions) {
    super(status.details, options);
    this.status = status;
  }
}

/** The one table from every layer's error codes to gRPC status. */
const statusOf: {
  readonly image: Readonly<Record<ImageErrorCode, StatusCode>>;
  readonly decoder: Readonly<Record<DecoderErrorCode, StatusCode>>;
  readonly engine: Readonly<Record<EngineErrorCode, StatusCode>>;
  readonly match: Readonly<Record<MatchErrorCode, StatusCode>>;
  readonly dense: Readonly<Record<FeatureOpErrorCode, StatusCode>>;
  readonly serve: Readonly<Record<ServeErrorCode, StatusCode>>;
} = {
  // Of src/featureOps. Its reasons on the wire begin with DENSE_.
  dense: {
    bad_region: status.INVALID_ARGUMENT,
    bad_size: status.INVALID_ARGUMENT,
    bad_components: status.INVALID_ARGUMENT,
  },
  image: {
    unsupported_format: status.INVALID_ARGUMENT,
    too_large: status.INVALID_ARGUMENT,
    corrupt: status.INVALID_ARGUMENT,
    bad_dimensions: status.INVALID_ARGUMENT,
  },
  decoder: {
    // The image is the likely cause: the same call would end the next process.
    crashed: status.INTERNAL,
    unavailable: status.UNAVAILABLE,
  },
  engine: {
    unavailable: status.UNAVAILABLE,
    // Requests are checked before they reach the engine: what it still rejects is a bug of the service.
    invalid_input: status.INTERNAL,
    out_of_memory: status.RESOURCE_EXHAUSTED,
    internal: status.INTERNAL,
  },
  match: {
    bad_option: status.INVALID_ARGUMENT,
    // The maps come from the model: the caller cannot change them.
    bad_input: status.INTERNAL,
    not_finite: status.INTERNAL,
  },
  serve: {
    invalid_argument: status.INVALID_ARGUMENT,
    unknown_model: status.NOT_FOUND,
    missing_head: status.FAILED_PRECONDITION,
    features_expired: status.NOT_FOUND,
    features_mismatch: status.FAILED_PRECONDITION,
    overloaded: status.RESOURCE_EXHAUSTED,
    too_large: status.RESOURCE_EXHAUSTED,
    unsupported_encoding: status.UNIMPLEMENTED,
    cancelled: status.CANCELLED,
    connection_broken: status.UNAVAILABLE,
    connection_aged: status.UNAVAILABLE,
    deadline_exceeded: status.DEADLINE_EXCEEDED,
    message_late: status.DEADLINE_EXCEEDED,
    reader_stalled: status.RESOURCE_EXHAUSTED,
    shutting_down: status.UNAVAILABLE,
    unauthenticated: status.UNAUTHENTICATED,
    rate_limited: status.RESOURCE_EXHAUSTED,
    unknown_route: status.NOT_FOUND,
    wrong_method: status.UNIMPLEMENTED,
    not_offered: status.UNIMPLEMENTED,
    unsupported_media_type: status.INVALID_ARGUMENT,
    not_acceptable: status.INVALID_ARGUMENT,
    forbidden_origin: status.PERMISSION_DENIED,
  },
};

/**
 * Maximum length of a status message in characters. It is sent percent-encoded in a header, and HTTP/2 peers reject header lists
 * over 16 KiB: the client would see a broken stream instead of the reason.
 */
const MAX_DETAILS = 1024;

/** Makes details safe for a header: of bounded length, and without lone surrogates, for which grpc-js throws. */
function headerSafe(details: string): string {
  const cut = details.length > MAX_DETAILS ? `${details.slice(0, MAX_DETAILS)}...` : details;
  return cut.replace(/\p{Surrogate}/gu, '\ufffd');
}

/** Retry delay in seconds for limits without an own estimate: some batches of a small CPU. */
const RETRY_SECONDS = 1;

/** The reason of an unexpected error. */
const UNEXPECTED = 'INTERNAL';

/** A reason is the code with its layer, such as IMAGE_CORRUPT; reasons of the service itself have no prefix. Reasons are API. */
function reasonOf(layer: keyof typeof statusOf, code: string): string {
  return (layer === 'serve' ? code : `${layer}_${code}`).toUpperCase();
}

/** Every status and reason that the service can send, or count if nothing can be sent any more; for the documentation. */
export function statusReasons(): { readonly code: StatusCode; readonly reason: string }[] {
  const known = Object.entries(statusOf).flatMap(([layer, codes]) =>
    Object.entries<StatusCode>(codes).map(([code, mapped]) => ({
      code: mapped,
      reason: reasonOf(layer as keyof typeof statusOf, code),
    })),
  );
  return [...known, { code: status.INTERNAL, reason: UNEXPECTED }];
}

/** Messages to callers for engine errors without a public message: texts of the runtime and the system are only logged. */
const engineDetails: Readonly<Record<EngineErrorCode, string>> = {
  unavailable: 'no inference worker could take the request, or it was lost with its worker; try again',
  out_of_memory: 'inference ran out of memory; send fewer or smaller images, or try again later',
  invalid_input: 'inference failed; the log of the server has the details, by the id of the request (x-request-id)',
  internal: 'inference failed; the log of the server has the details, by the id of the request (x-request-id)',
};

/**
 * Texts that may not be sent to callers: absolute paths (also of Windows and as URLs) and lines of a stack. Media types and web
 * addresses do not match.
 */
const OF_THIS_MACHINE =
  /file:\/\/|node:internal|\n\s+at |(?<![\w.:/])\/(?:[\w.@%+~-]+\/)+|(?<![\w.:/])\/(?:tmp|proc|dev|etc|home|root|usr|var|opt)\b|\b[A-Za-z]:\\/;

/**
 * The message of an error for callers. Our layers write messages for callers, but a message may quote a library or the file system,
 * as that of any error with a cause may. Such a message is only logged if it contains something of this machine.
 */
function publicDetails(error: Error, reason: string): string {
  const { message } = error;
  const ours = error instanceof ServeError && error.cause === undefined;
  if (ours || !OF_THIS_MACHINE.test(message)) return headerSafe(message);
  return `${reason}: the log of the server has the details, by the id of the request (x-request-id)`;
}

/** The status of an error whose message is written for callers. */
function publicStatus(
  layer: keyof typeof statusOf,
  code: StatusCode,
  error: Error & { readonly code: string },
): Status {
  const reason = reasonOf(layer, error.code);
  return { code, details: publicDetails(error, reason), reason };
}

/**
 * The status of any thrown value. This is the only place that decides what callers see of an error: no paths, no stacks and no
 * texts of the runtime.
 */
export function toStatus(error: unknown): Status {
  if (error instanceof StatusError) return error.status;
  if (error instanceof ImageError) return publicStatus('image', statusOf.image[error.code], error);
  if (error instanceof FeatureOpError) return publicStatus('dense', statusOf.dense[error.code], error);
  if (error instanceof MatchError) return publicStatus('match', statusOf.match[error.code], error);
  if (error instanceof ServeError) {
    const { code, limit, retryAfterSeconds = code === 'overloaded' ? RETRY_SECONDS : undefined } = error;
    return {
      ...publicStatus('serve', statusOf.serve[code], error),
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
      ...(limit && { limit }),
    };
  }
  if (error instanceof EngineError) {
    const { code, publicMessage = engineDetails[code] } = error;
    return { code: statusOf.engine[code], details: headerSafe(publicMessage), reason: reasonOf('engine', code) };
  }
  if (error instanceof DecoderError) {
    const { code, message } = error;
    return { code: statusOf.decoder[code], details: headerSafe(message), reason: reasonOf('decoder', code) };
  }
  return {
    code: status.INTERNAL,
    details: 'internal error; the log of the server has the details, by the id of the request (x-request-id)',
    reason: UNEXPECTED,
  };
}

/** Whether an error contains more than its status, so that it has to be logged too. */
export function hasMore(error: unknown, { details }: Pick<Status, 'details'>): boolean {
  return !(error instanceof Error && error.message === details);
}
