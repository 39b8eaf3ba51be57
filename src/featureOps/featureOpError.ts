/**
 * Why an operation on a map is not possible:
 * - `bad_region`: a rectangle, cell or mask does not fit the image or the map
 * - `bad_size`: the size to which a map is enlarged is less than its own
 * - `bad_components`: the number of components or the basis does not fit the vectors
 */
export type FeatureOpErrorCode = 'bad_region' | 'bad_size' | 'bad_components';

/** The error of operations on maps. `message` names the value and the remedy. */
export class FeatureOpError extends Error {
  override readonly name = 'FeatureOpError';
  readonly code: FeatureOpErrorCode;

  constructor(code: FeatureOpErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
