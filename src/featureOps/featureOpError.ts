/**
 * What is wrong with a request for parts, regions or components of a map.
 * - `bad_region`: a rectangle, cell or mask that does not fit the image or the map
 * - `bad_components`: a number of components or a basis that does not fit the vectors
 */
export type FeatureOpErrorCode = 'bad_region' | 'bad_components';

/** The dense layer's one error; `message` names the value and the way out. */
export class FeatureOpError extends Error {
  override readonly name = 'FeatureOpError';
  readonly code: FeatureOpErrorCode;

  constructor(code: FeatureOpErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
