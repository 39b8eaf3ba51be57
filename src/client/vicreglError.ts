import { Metadata, status } from '@grpc/grpc-js';
import type { Status__Output } from '../proto/generated/google/rpc/Status.js';
import { decodeFacts, type ErrorFacts, factsIn, type MetLimit, statusDetailsKey } from '../proto/statusDetails.js';

export type { MetLimit } from '../proto/statusDetails.js';

/** Name of a gRPC status, such as `INVALID_ARGUMENT`. */
export type VicreglErrorCode = Exclude<keyof typeof status, 'OK'>;

function hasStatus(value: unknown): value is { readonly code: status; readonly details: string } {
  const { code, details } = (value ?? {}) as { code?: unknown; details?: unknown };
  return typeof code === 'number' && status[code] !== undefined && typeof details === 'string';
}

/** Reason, limit and retry delay: from the trailing metadata of a gRPC error, or from the error itself for in-process calls. */
function factsOf(error: object): ErrorFacts | undefined {
  const { reason, limit, retryAfterSeconds } = error as Partial<ErrorFacts>;
  if (typeof reason === 'string') {
    return { reason, ...(limit && { limit }), ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) };
  }
  const { metadata } = error as { metadata?: unknown };
  const bytes = metadata instanceof Metadata ? metadata.get(statusDetailsKey)[0] : undefined;
  return Buffer.isBuffer(bytes) ? decodeFacts(bytes) : undefined;
}

/** The id under which the service logged the call. */
function requestIdOf(error: object): string | undefined {
  const { metadata } = error as { metadata?: unknown };
  return metadata instanceof Metadata ? metadata.get('x-request-id')[0]?.toString() : undefined;
}

interface VicreglErrorOptions extends ErrorOptions {
  readonly reason?: string | undefined;
  readonly limit?: MetLimit | undefined;
  readonly retryAfterSeconds?: number | undefined;
  readonly requestId?: string | undefined;
}

/** The error class of the client: `code` is the gRPC status, `message` states the problem and how to fix it. */
export class VicreglError extends Error {
  override readonly name = 'VicreglError';
  readonly code: VicreglErrorCode;
  /**
   * Stable name of the cause for programs, such as `OVERLOADED` (retry later) or `TOO_LARGE` (will never succeed), as listed in
   * docs/service.md. Undefined if the error does not come from the service.
   */
  readonly reason: string | undefined;
  /**
   * For `OVERLOADED` and `RATE_LIMITED`: the limit that was reached, as its key in the service's configuration (such as
   * `queueImages`) and its value.
   */
  readonly limit: MetLimit | undefined;
  /**
   * Minimum delay in seconds (may be fractional) before a retry: for `OVERLOADED` and `RATE_LIMITED`, and for calls that were rejected
   * because their deadline could not be met. Undefined if the service states none.
   */
  readonly retryAfterSeconds: number | undefined;
  /** Identifies the call in the service's log; undefined if the error does not come from the service. */
  readonly requestId: string | undefined;

  constructor(code: VicreglErrorCode, message: string, options: VicreglErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.reason = options.reason;
    this.limit = options.limit;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.requestId = options.requestId;
  }

  /** The status of one item of a batch or a stream. */
  static fromStatus({ code, message, details }: Status__Output): VicreglError {
    const name = (status[code] ?? 'UNKNOWN') as VicreglErrorCode;
    return new VicreglError(name, message, { ...factsIn(details) });
  }

  /** Converts any error to a VicreglError: gRPC errors keep their status, aborts become CANCELLED, others UNKNOWN. */
  static from(error: unknown): VicreglError {
    if (error instanceof VicreglError) return error;
    if (hasStatus(error)) {
      const code = status[error.code] as VicreglErrorCode;
      return new VicreglError(code, error.details, { cause: error, ...factsOf(error), requestId: requestIdOf(error) });
    }
    const message = error instanceof Error ? error.message : String(error);
    const aborted = error instanceof Error && error.name === 'AbortError';
    return new VicreglError(aborted ? 'CANCELLED' : 'UNKNOWN', message, { cause: error });
  }
}
