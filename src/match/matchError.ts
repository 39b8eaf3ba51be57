/**
 * Why input cannot be matched:
 * - `bad_option`: an option is out of its range
 * - `bad_input`: the sizes of maps or centres do not fit
 * - `not_finite`: a feature or a centre that is NaN or infinite
 */
export type MatchErrorCode = 'bad_option' | 'bad_input' | 'not_finite';

/** The error of matching. `message` names the value and the remedy. */
export class MatchError extends Error {
  override readonly name = 'MatchError';
  readonly code: MatchErrorCode;

  constructor(code: MatchErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
