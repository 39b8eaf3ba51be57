/**
 * - `bad_pairs`: a line of the list of pairs is wrong
 * - `bad_option`: an option that no image, or not this one, fits
 * - `in_use`: another process works in the output folder
 * - `bad_images`: the images cannot be named in the output
 * - `other_settings`: the output folder has features of other settings
 * - `damaged`: a file of the output folder cannot be read
 */
export type MatchSetErrorCode = 'bad_pairs' | 'bad_images' | 'bad_option' | 'in_use' | 'other_settings' | 'damaged';

/** The error of matching a set of images; `message` names the value and the way out. */
export class MatchSetError extends Error {
  override readonly name = 'MatchSetError';
  readonly code: MatchSetErrorCode;

  constructor(code: MatchSetErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
