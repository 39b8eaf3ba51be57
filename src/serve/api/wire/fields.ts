import { FeatureOpError } from '../../../featureOps/featureOpError.js';
import { ImageError } from '../../../image/imageError.js';
import { ServeError } from '../../call/serveError.js';
import { type LimitKey, overLimit } from '../../config/serveLimits.js';

/** Errors about fields of a request: each names the field, its value, and what the field may be. */

/** The error for a wrong field: `invalid_argument`. */
export function invalid(message: string, options?: ErrorOptions): ServeError {
  return new ServeError('invalid_argument', message, options);
}

/** Puts the name of the request's field before the message of an image or dense error. Other errors stay as they are. */
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
 * Checks a number; a field that is left out passes.
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
 * Checks how many elements a repeated field has: 1 to the limit of that key.
 * @param ways what to do about none, and about too many
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
