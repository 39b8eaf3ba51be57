/**
 * The problem of an image or of a request for it:
 * - `unsupported_format`: not a supported format
 * - `too_large`: more bytes or pixels than a limit allows
 * - `corrupt`: starts like a known format but cannot be decoded to its end
 * - `bad_dimensions`: sizes, crops or policies that are invalid for the picture or the model
 */
export type ImageErrorCode = 'unsupported_format' | 'too_large' | 'corrupt' | 'bad_dimensions';

/** The error class of the image layer; `message` states the problem and how to fix it. */
export class ImageError extends Error {
  override readonly name = 'ImageError';
  readonly code: ImageErrorCode;

  constructor(code: ImageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
