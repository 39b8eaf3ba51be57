/**
 * What the service layer refuses by itself; `errors.ts` gives the status of each code.
 * - `invalid_argument`: a field of the request is wrong
 * - `unknown_model`: no model of that name is served
 * - `missing_head`: the model lacks the head that the asked space needs
 * - `overloaded`: the queue is full
 * - `too_large`: the work or the answer is over a limit
 * - `cancelled`: the caller gave up
 * - `deadline_exceeded`: the caller's deadline passed
 * - `shutting_down`: the server takes no more work
 */
export type ServeErrorCode =
  | 'invalid_argument'
  | 'unknown_model'
  | 'missing_head'
  | 'overloaded'
  | 'too_large'
  | 'cancelled'
  | 'deadline_exceeded'
  | 'shutting_down';

/** The service layer's one error; `message` names the field, the value and the way out. */
export class ServeError extends Error {
  override readonly name = 'ServeError';
  readonly code: ServeErrorCode;

  constructor(code: ServeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
