import { FeatureOpError } from '../../../featureOps/featureOpError.js';
import { inField as inImageField } from '../wire/image.js';

/** Names the request's field in an error of the dense or the image layer. */
export function inField(field: string, error: unknown): unknown {
  if (error instanceof FeatureOpError) {
    // A message that begins with an index, such as "[3]: ...", continues the field's name.
    const gap = error.message.startsWith('[') && error.message.includes(']: ') ? '' : ': ';
    return new FeatureOpError(error.code, `${field}${gap}${error.message}`, { cause: error });
  }
  return inImageField(field, error);
}
