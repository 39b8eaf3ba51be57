/**
 * What is wrong with a picture or with what was asked of it:
 * - `unsupported_format`: not one of the formats that are read
 * - `too_large`: more bytes or pixels than a limit allows
 * - `corrupt`: starts like a known format but cannot be decoded to its end
 * - `bad_dimensions`: sizes, crops or policies that do not fit the picture or the model
 */
export type ImageErrorCode = 'unsupported_format' | 'too_large' | 'corrupt' | 'bad_dimensions';

/** The image layer's one error; `message` says what is wrong and the way out. */
export class ImageError extends Error {
  override readonly name = 'ImageError';
  readonly code: ImageErrorCode;

  constructor(code: ImageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
