import { FeatureOpError } from '../../../featureOps/featureOpError.js';
import { ImageError } from '../../../image/imageError.js';
import { ServeError } from '../../call/serveError.js';
import { type LimitKey, overLimit } from '../../config/serveLimits.js';

/** Errors about fields of a request: each names the field, its value, and the allowed values. */

/** The error for a wrong field: `invalid_argument`. */
export function invalid(message: string, options?: ErrorOptions): ServeError {
  return new ServeError('invalid_argument', message, options);
}

/** Prefixes the message of an ImageError or a FeatureOpError with the name of the request's field. Returns other errors unchanged. */
export function inField(field: string, error: unknown): unknown {
  if (error instanceof ImageError) return new ImageError(error.code, `${field}: ${error.message}`, { cause: error });
  if (error instanceof FeatureOpError) {
    // A message that begins with an index, such as "[3]: ...", continues the field's name.
    const gap = error.message.startsWith('[') && error.message.includes(']: ') ? '' : ': ';
    return new FeatureOpError(error.code, `${field}${gap}${error.message}`, { cause: error });
  }
  return error;
}

/**
 * Checks a number; an absent field passes.
 * @param range the allowed values in words
 * @throws ServeError `invalid_argument`
 */
export function checkRange(
  field: string,
  value: number | undefined,
  isInside: (value: number) => boolean,
  range: string,
): void {
  if (value === undefined || isInside(value)) return;
  throw invalid(`${field}: ${value} is outside ${range}`);
}

/**
 * Checks the number of elements of a repeated field: 1 to the limit of the key.
 * @param ways the ways out for an empty field and for too many elements
 * @throws ServeError `invalid_argument`
 */
export function checkCount<K extends LimitKey>(
  field: string,
  { length }: { readonly length: number },
  limits: Readonly<Record<K, number>>,
  key: K,
  ways: { readonly none: string; readonly tooMany: string },
): void {
  if (length < 1) throw invalid(`${field}: empty; ${ways.none}`);
  if (length > limits[key]) throw invalid(`${field}: ${length} are ${overLimit(limits, key)}; ${ways.tooMany}`);
}
