import type { MetLimit } from '../../proto/statusDetails.js';

/**
 * What the service layer refuses by itself; `errors.ts` gives the status of each code.
 * - `invalid_argument`: a field of the request is wrong
 * - `unknown_model`: no model of that name is served
 * - `missing_head`: the model lacks the head that the asked space needs
 * - `features_expired`: nothing is kept under the reference, or no longer
 * - `features_mismatch`: what is kept under the reference is of another model or space
 * - `overloaded`: the queue is full
 * - `too_large`: the work or the answer is over a limit
 * - `unsupported_encoding`: the message is compressed in a way that the service cannot read
 * - `cancelled`: the caller gave up
 * - `connection_broken`: HTTP/2's rules were broken on the connection of the call, which ends all calls on it
 * - `deadline_exceeded`: the caller's deadline passed
 * - `message_late`: the message of the call did not arrive in time
 * - `reader_stalled`: the caller stopped taking its answers
 * - `shutting_down`: the server takes no more work
 * - `unauthenticated`: the call brings no token, or none that is known
 * - `rate_limited`: the token has spent its calls
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

/** Codes of requests that may succeed later, when there is room again under a limit. */
type LimitedCode = 'overloaded' | 'rate_limited';

interface ServeErrorOptions extends ErrorOptions {
  readonly retryAfterSeconds?: number;
  readonly limit?: MetLimit;
}

/** The service layer's one error; `message` names the field, the value and the way out. */
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
    // It is an answer, not a fault: nobody reads its trace, and taking one would cost a service that is overloaded the more.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message, options);
    Error.stackTraceLimit = stackTraceLimit;
    this.code = code;
    this.retryAfterSeconds = options?.retryAfterSeconds;
    this.limit = options?.limit;
  }
}
