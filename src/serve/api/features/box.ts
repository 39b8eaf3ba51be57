import type { Box } from '../../../image/types.js';
import type { Box__Output } from '../../../proto/generated/vicregl/v1/Box.js';
import { ServeError } from '../../call/serveError.js';

/**
 * A box of a request.
 * @throws ServeError `invalid_argument` for one without area.
 */
export function readBox(box: Box__Output, field: string): Box {
  const { left, top, right, bottom } = box;
  if ([left, top, right, bottom].every(Number.isFinite) && right > left && bottom > top) return box;
  throw new ServeError(
    'invalid_argument',
    `${field}: left ${left}, top ${top}, right ${right}, bottom ${bottom} is no rectangle; right must be above left and ` +
      'bottom above top, in pixels of the original',
  );
}
