/**
 * What is wrong with a request for parts, regions or components of a map.
 * - `bad_region`: a rectangle, cell or mask that does not fit the image or the map
 * - `bad_components`: a number of components or a basis that does not fit the vectors
 */
export type DenseErrorCode = 'bad_region' | 'bad_components';

/** The dense layer's one error; `message` names the value and the way out. */
export class DenseError extends Error {
  override readonly name = 'DenseError';
  readonly code: DenseErrorCode;

  constructor(code: DenseErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
