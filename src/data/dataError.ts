/**
 * Codes of data errors:
 * - `not_found`: a path does not exist or cannot be read
 * - `no_images`: a folder or archive contains no images
 * - `no_labels`: labels are required, but the source has none
 * - `malformed`: a line of a list, a label, or the structure of a source is invalid
 * - `unsupported`: the kind of file, or its size, is not supported
 * - `bad_option`: an option is out of range
 * - `undecodable`: most images cannot be decoded
 * - `changed`: an image is not the one that was read before
 * - `worker_failed`: a loader thread ended
 */
export type DataErrorCode =
  | 'not_found'
  | 'no_images'
  | 'no_labels'
  | 'malformed'
  | 'unsupported'
  | 'bad_option'
  | 'undecodable'
  | 'changed'
  | 'worker_failed';

/** The only error type of the data layer; `message` describes the problem and how to fix it. */
export class DataError extends Error {
  override readonly name = 'DataError';
  readonly code: DataErrorCode;

  constructor(code: DataErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
