/** Pairs by construction: a photograph, and the same photograph seen through a known homography. */

import { watched } from '../../data/imageContents.js';
import { sourceFingerprint } from '../../data/sourceFingerprint.js';
import type { ImageSource } from '../../data/sources.js';
import { decodeImage, defaultImageLimits } from '../../image/decode.js';
import { type Homography, inverse } from '../../image/homography.js';
import { ImageError } from '../../image/imageError.js';
import type { RgbImage, Size } from '../../image/types.js';
import { homographyOfFour } from '../../match/homography/minimalSample.js';
import { type RandomStream, stream } from '../../tensor/random.js';
import { setDigest } from '../contentDigest.js';
import { cornersOf } from './planarMap.js';
import type { PlanarPairs } from './planarPairs.js';
import { warp } from './warp.js';

/** A view of a photograph: a rotation and a change of size, or a random perspective. */
export type PlanarView =
  | { readonly kind: 'rotation'; readonly degrees: number; readonly scale: number }
  | { readonly kind: 'perspective' };

/** Largest distance of the corners of a random view from those of the photograph, over its width and height. */
const INSET = 0.25;

function viewName(view: PlanarView, number: number): string {
  return view.kind === 'rotation' ? `${view.degrees}x${view.scale}` : `perspective ${number + 1}`;
}

interface Placed {
  /** Photograph to view. */
  readonly toView: Homography;
  /** Size of the view. */
  readonly size: Size;
}

/** Rotated clockwise on the screen and scaled, on a canvas that holds all of the photograph. */
function rotation({ width, height }: Size, degrees: number, scale: number): Placed {
  const angle = (degrees * Math.PI) / 180;
  const [cos, sin] = [scale * Math.cos(angle), scale * Math.sin(angle)];
  const corners = cornersOf({ width, height }).map(({ x, y }) => [cos * x - sin * y, sin * x + cos * y] as const);
  const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return {
    toView: [cos, -sin, -left, sin, cos, -top, 0, 0, 1],
    // Rounded up, but not because of the rounding of cosines.
    size: {
      width: Math.max(1, Math.ceil(Math.max(...xs) - left - 1e-6)),
      height: Math.max(1, Math.ceil(Math.max(...ys) - top - 1e-6)),
    },
  };
}

/** The part of the photograph between four points near its corners, drawn as a whole picture of the photograph's size. */
function perspective(size: Size, random: RandomStream): Placed {
  const pairs = cornersOf(size).flatMap(({ x, y }) => {
    const inset = [random.uniform(0, INSET) * size.width, random.uniform(0, INSET) * size.height] as const;
    return [x === 0 ? inset[0] : x - inset[0], y === 0 ? inset[1] : y - inset[1], x, y];
  });
  // Four points in general position: the insets leave a convex quadrilateral.
  return { toView: homographyOfFour(Float64Array.from(pairs), [0, 1, 2, 3])!, size };
}

/** Where a view lies. @throws ImageError `too_large` for a view of more pixels than images may have. */
function placed(photograph: Size, view: PlanarView, random: RandomStream): Placed {
  const { toView, size } =
    view.kind === 'rotation' ? rotation(photograph, view.degrees, view.scale) : perspective(photograph, random);
  if (size.width * size.height > defaultImageLimits.imagePixels) {
    throw new ImageError(
      'too_large',
      `the view ${viewName(view, 0)} has ${size.width} x ${size.height} pixels, over the limit of ${defaultImageLimits.imagePixels}; use a smaller scale`,
    );
  }
  return { toView, size };
}

/**
 * A view of a photograph.
 * @throws ImageError `too_large` for a view of more pixels than images may have.
 */
export function viewOf(
  photograph: RgbImage,
  view: PlanarView,
  random: RandomStream,
): { readonly image: RgbImage; readonly toView: Homography } {
  const { toView, size } = placed(photograph, view, random);
  return { image: warp(photograph, inverse(toView), size), toView };
}

/**
 * Every photograph of a source with views of it. View k of photograph i is drawn from `stream(seed, 'planarView', i, k)`.
 * @param views at least one
 */
export function pairsOfViews(
  photographs: Pick<ImageSource, 'count' | 'nameOf' | 'read' | 'labelled'>,
  views: readonly PlanarView[],
  seed: number,
): PlanarPairs {
  const { read } = watched(photographs);
  const names = Array.from({ length: photographs.count }, (_, i) => photographs.nameOf(i));
  const randomOf = (item: number, k: number) => stream(seed, 'planarView', item, k);
  return {
    names,
    images: photographs.count,
    fingerprint: sourceFingerprint(photographs),
    contents: () => setDigest(photographs, [...names.keys()]),
    async load(item) {
      const a = await decodeImage(await read(item));
      // Too large ones are known before any is drawn. Each is drawn when it is asked for: all together could fill the memory.
      for (const [k, view] of views.entries()) placed(a, view, randomOf(item, k));
      return (function* () {
        for (const [k, view] of views.entries()) {
          const { image: b, toView: aToB } = viewOf(a, view, randomOf(item, k));
          yield { name: `${photographs.nameOf(item)} ${viewName(view, k)}`, a, b, aToB };
        }
      })();
    },
  };
}
