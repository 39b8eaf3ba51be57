/**
 * What cannot be matched:
 * - `bad_option`: an option out of its range
 * - `bad_input`: maps or centres whose sizes do not fit
 * - `not_finite`: a feature or a centre that is NaN or infinite
 */
export type MatchErrorCode = 'bad_option' | 'bad_input' | 'not_finite';

/** Input that cannot be matched, or an option out of its range; `message` says which and the way out. */
export class MatchError extends Error {
  override readonly name = 'MatchError';
  readonly code: MatchErrorCode;

  constructor(code: MatchErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
