import type { MetLimit } from '../../proto/statusDetails.js';

/**
 * Errors of the service layer itself; `errors.ts` gives the status of each code.
 * - `invalid_argument`: a field of the request is wrong
 * - `unknown_model`: no model of that name is served
 * - `missing_head`: the model lacks the head that the asked space needs
 * - `features_expired`: no features are kept under the reference, or no longer
 * - `features_mismatch`: the features kept under the reference are of another model or space
 * - `overloaded`: a bounded resource is exhausted (a queue, bytes, a gate)
 * - `too_large`: the work or the answer is over a limit
 * - `unsupported_encoding`: the message is compressed in a way that the service cannot read
 * - `cancelled`: the caller gave up
 * - `connection_broken`: the other end violated HTTP/2 on the connection of the call, which ends all calls on it
 * - `deadline_exceeded`: the caller's deadline passed
 * - `message_late`: the message of the call did not arrive in time
 * - `reader_stalled`: the caller stopped reading its answers
 * - `shutting_down`: the server accepts no more work
 * - `unauthenticated`: the call has no token, or an unknown one
 * - `rate_limited`: the token has used up its calls
 */
export type ServeErrorCode =
  | 'invalid_argument'
  | 'unknown_model'
  | 'missing_head'
  | 'features_expired'
  | 'features_mismatch'
  | 'overloaded'
  | 'too_large'
  | 'unsupported_encoding'
  | 'cancelled'
  | 'connection_broken'
  | 'deadline_exceeded'
  | 'message_late'
  | 'reader_stalled'
  | 'shutting_down'
  | 'unauthenticated'
  | 'rate_limited';

/** Codes of requests that may succeed later, when they fit under the limit again. */
type LimitedCode = 'overloaded' | 'rate_limited';

interface ServeErrorOptions extends ErrorOptions {
  readonly retryAfterSeconds?: number;
  readonly limit?: MetLimit;
}

/** The one error class of the service layer. `message` names the field, the value and the remedy. */
export class ServeError extends Error {
  override readonly name = 'ServeError';
  readonly code: ServeErrorCode;
  /** Where the same request may succeed later and more is known than the standard delay: shortest wait in seconds. */
  readonly retryAfterSeconds: number | undefined;

  /** Of `overloaded` and `rate_limited`: the limit that was met. */
  readonly limit: MetLimit | undefined;

  constructor(code: Exclude<ServeErrorCode, LimitedCode>, message: string, options?: ServeErrorOptions);
  constructor(code: LimitedCode, message: string, options: ServeErrorOptions & { readonly limit: MetLimit });
  constructor(code: ServeErrorCode, message: string, options?: ServeErrorOptions) {
    // Nobody reads the stack of an answer, and an overloaded service has no time to collect one.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message, options);
    Error.stackTraceLimit = stackTraceLimit;
    this.code = code;
    this.retryAfterSeconds = options?.retryAfterSeconds;
    this.limit = options?.limit;
  }
}
