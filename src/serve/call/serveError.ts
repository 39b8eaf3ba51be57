import type { MetLimit } from '../../proto/statusDetails.js';

/**
 * Errors of the service layer itself; `errors.ts` gives the status of each code.
 * - `invalid_argument`: a field of the request is wrong
 * - `unknown_model`: no model of that name is served
 * - `missing_head`: the model lacks the head that the requested space needs
 * - `features_expired`: no features are stored under the reference, or no longer
 * - `features_mismatch`: the features stored under the reference belong to another model or space
 * - `overloaded`: a bounded resource is exhausted (a queue, bytes, a gate)
 * - `too_large`: the work or the response is over a limit
 * - `unsupported_encoding`: the message is compressed in a way that the service cannot read
 * - `cancelled`: the caller cancelled the call
 * - `connection_broken`: the client violated HTTP/2 on the connection of the call, which ends all its calls
 * - `connection_aged`: the connection of the call reached its age, and the call did not end within the grace period
 * - `deadline_exceeded`: the caller's deadline passed
 * - `message_late`: the message of the call did not arrive in time
 * - `reader_stalled`: the caller stopped reading responses
 * - `shutting_down`: the server accepts no more work
 * - `unauthenticated`: the call has no token, or an unknown one
 * - `rate_limited`: the token is over its rate
 * - `not_offered`: a method of the Open Inference Protocol for what operators do by other means
 *
 * Of the HTTP listener alone:
 * - `unknown_route`: no route has the path
 * - `wrong_method`: the route does not have the method
 * - `unsupported_media_type`: the content type of the body is none that the route reads
 * - `not_acceptable`: the response does not exist in a form that the caller accepts
 * - `forbidden_origin`: the request comes from a web page of another origin
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
  | 'connection_aged'
  | 'deadline_exceeded'
  | 'message_late'
  | 'reader_stalled'
  | 'shutting_down'
  | 'unauthenticated'
  | 'rate_limited'
  | 'not_offered'
  | 'unknown_route'
  | 'wrong_method'
  | 'unsupported_media_type'
  | 'not_acceptable'
  | 'forbidden_origin';

/** Codes of requests that may succeed later, when they are within the limit again. */
type LimitedCode = 'overloaded' | 'rate_limited';

interface ServeErrorOptions extends ErrorOptions {
  readonly retryAfterSeconds?: number;
  readonly limit?: MetLimit;
}

/** The one error class of the service layer. `message` names the field, the value and the remedy. */
export class ServeError extends Error {
  override readonly name = 'ServeError';
  readonly code: ServeErrorCode;
  /** Minimum seconds until the same request may succeed, if that is known better than by the default delay. */
  readonly retryAfterSeconds: number | undefined;

  /** Of `overloaded` and `rate_limited`: the limit that was reached. */
  readonly limit: MetLimit | undefined;

  constructor(code: Exclude<ServeErrorCode, LimitedCode>, message: string, options?: ServeErrorOptions);
  constructor(code: LimitedCode, message: string, options: ServeErrorOptions & { readonly limit: MetLimit });
  constructor(code: ServeErrorCode, message: string, options?: ServeErrorOptions) {
    // The stack is never used, and an overloaded service has no time to collect it.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message, options);
    Error.stackTraceLimit = stackTraceLimit;
    this.code = code;
    this.retryAfterSeconds = options?.retryAfterSeconds;
    this.limit = options?.limit;
  }
}
