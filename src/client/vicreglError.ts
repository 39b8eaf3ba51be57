import { Metadata, status } from '@grpc/grpc-js';
import type { Status__Output } from '../proto/generated/google/rpc/Status.js';
import { decodeReason, reasonIn, statusDetailsKey } from '../proto/statusDetails.js';

/** Name of a gRPC status, such as `INVALID_ARGUMENT`. */
export type VicreglErrorCode = Exclude<keyof typeof status, 'OK'>;

function hasStatus(value: unknown): value is { readonly code: status; readonly details: string } {
  const { code, details } = (value ?? {}) as { code?: unknown; details?: unknown };
  return typeof code === 'number' && status[code] !== undefined && typeof details === 'string';
}

/** The service's reason: in the trailing metadata of a socket, in the error itself without one. */
function reasonOf(error: object): string | undefined {
  const { reason, metadata } = error as { reason?: unknown; metadata?: unknown };
  if (typeof reason === 'string') return reason;
  const bytes = metadata instanceof Metadata ? metadata.get(statusDetailsKey)[0] : undefined;
  return Buffer.isBuffer(bytes) ? decodeReason(bytes) : undefined;
}

/** The id under which the service logged the call. */
function requestIdOf(error: object): string | undefined {
  const { metadata } = error as { metadata?: unknown };
  return metadata instanceof Metadata ? metadata.get('x-request-id')[0]?.toString() : undefined;
}

interface VicreglErrorOptions extends ErrorOptions {
  readonly reason?: string | undefined;
  readonly requestId?: string | undefined;
}

/** The client's one error: `code` says what kind, `message` what is wrong and the way out. */
export class VicreglError extends Error {
  override readonly name = 'VicreglError';
  readonly code: VicreglErrorCode;
  /**
   * Stable name of the cause for programs, such as `OVERLOADED` (try again later) or `TOO_LARGE` (never fits); all of
   * them in docs/service.md. Undefined where the service did not answer itself.
   */
  readonly reason: string | undefined;
  /** Names the call in the service's log; undefined where the service did not answer itself. */
  readonly requestId: string | undefined;

  constructor(code: VicreglErrorCode, message: string, options: VicreglErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.reason = options.reason;
    this.requestId = options.requestId;
  }

  /** The status of one item of a batch or a stream. */
  static fromStatus({ code, message, details }: Status__Output): VicreglError {
    const name = (status[code] ?? 'UNKNOWN') as VicreglErrorCode;
    return new VicreglError(name, message, { reason: reasonIn(details) });
  }

  /** Anything thrown as a VicreglError: gRPC errors keep their status, aborts are CANCELLED, the rest is UNKNOWN. */
  static from(error: unknown): VicreglError {
    if (error instanceof VicreglError) return error;
    if (hasStatus(error)) {
      const code = status[error.code] as VicreglErrorCode;
      const [reason, id] = [reasonOf(error), requestIdOf(error)];
      return new VicreglError(code, error.details, { cause: error, reason, requestId: id });
    }
    const message = error instanceof Error ? error.message : String(error);
    const aborted = error instanceof Error && error.name === 'AbortError';
    return new VicreglError(aborted ? 'CANCELLED' : 'UNKNOWN', message, { cause: error });
  }
}
