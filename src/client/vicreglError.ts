import { status } from '@grpc/grpc-js';

/** Name of a gRPC status, such as `INVALID_ARGUMENT`. */
export type VicreglErrorCode = Exclude<keyof typeof status, 'OK'>;

function hasStatus(value: unknown): value is { readonly code: status; readonly details: string } {
  const { code, details } = (value ?? {}) as { code?: unknown; details?: unknown };
  return typeof code === 'number' && status[code] !== undefined && typeof details === 'string';
}

/** The client's one error: `code` says what kind, `message` what is wrong and the way out. */
export class VicreglError extends Error {
  override readonly name = 'VicreglError';
  readonly code: VicreglErrorCode;

  constructor(code: VicreglErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** Anything thrown as a VicreglError: gRPC errors keep their status, aborts are CANCELLED, the rest is UNKNOWN. */
  static from(error: unknown): VicreglError {
    if (error instanceof VicreglError) return error;
    if (hasStatus(error)) {
      return new VicreglError(status[error.code] as VicreglErrorCode, error.details, { cause: error });
    }
    const message = error instanceof Error ? error.message : String(error);
    const aborted = error instanceof Error && error.name === 'AbortError';
    return new VicreglError(aborted ? 'CANCELLED' : 'UNKNOWN', message, { cause: error });
  }
}
