/**
 * What is wrong with the data:
 * - `not_found`: a path that is not there
 * - `no_images`: a folder or archive without images
 * - `no_labels`: labels were asked for and the layout gives none
 * - `malformed`: a line of a list or a label that cannot be read
 * - `unsupported`: a kind of file or a size that is not read
 * - `bad_option`: an option out of range
 * - `undecodable`: most images cannot be decoded
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
  | 'worker_failed';

/** The data layer's one error; `message` says what is wrong and the way out. */
export class DataError extends Error {
  override readonly name = 'DataError';
  readonly code: DataErrorCode;

  constructor(code: DataErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
