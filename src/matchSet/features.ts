import { cellCentres, type Grid } from '../image/geometry.js';
import { project } from '../image/homography.js';
import { type StoredImage, uprightToStored } from '../image/orientation.js';
import type { CellFeatures } from '../match/features.js';

/** The features of one image: a vector for every cell, and where the cells lie. */
export interface ImageFeatures extends StoredImage {
  readonly rows: number;
  readonly columns: number;
  readonly channels: number;
  /** [rows * columns, C], of length 1 (zero vectors stay zero). */
  readonly descriptors: Float32Array;
  /** [rows * columns]: the lengths that the vectors had. */
  readonly norms: Float32Array;
  /** From cells to pixels of the upright image, as in `Grid`. */
  readonly cellToPixel: Grid['cellToPixel'];
  /** Network-input pixels from one cell to the next. */
  readonly stride: number;
  /** The embedding of the whole image, if there is one. */
  readonly global?: Float32Array;
}

/** Unit vectors and lengths of vectors [N, C]. */
export function splitNorms(data: Float32Array, channels: number): Pick<ImageFeatures, 'descriptors' | 'norms'> {
  const norms = new Float32Array(data.length / channels);
  const descriptors = new Float32Array(data.length);
  for (let i = 0; i < norms.length; i++) {
    let squared = 0;
    for (let k = i * channels; k < (i + 1) * channels; k++) squared += data[k]! ** 2;
    const norm = Math.sqrt(squared);
    norms[i] = norm;
    if (norm > 0) for (let k = i * channels; k < (i + 1) * channels; k++) descriptors[k] = data[k]! / norm;
  }
  return { descriptors, norms };
}

/**
 * The vectors as the model gave them, to be matched. They are made from unit vectors and lengths also where those have just been
 * computed: a resumed run reads them from the file, and has to find the same matches.
 */
export function cellFeatures({ rows, columns, channels, descriptors, norms }: ImageFeatures): CellFeatures {
  const data = new Float32Array(descriptors.length);
  for (let i = 0; i < norms.length; i++) {
    for (let k = i * channels; k < (i + 1) * channels; k++) data[k] = descriptors[k]! * norms[i]!;
  }
  return { rows, columns, channels, data };
}

/** Centres of the cells in pixels of the upright image, [N, 2]; the centre of the first pixel is (0.5, 0.5). */
export function keypointsOf(features: Pick<ImageFeatures, 'rows' | 'columns' | 'cellToPixel'>): Float32Array {
  return new Float32Array(cellCentres(features));
}

/**
 * The cells' centres in pixels as they are stored in the file, [N, 2], since COLMAP and hloc ignore EXIF orientation; the centre of the
 * first pixel is (0.5, 0.5).
 */
export function storedKeypoints(features: ImageFeatures): Float32Array {
  const toStored = uprightToStored(features);
  const points = keypointsOf(features);
  for (let i = 0; i < points.length; i += 2) {
    const { x, y } = project(toStored, { x: points[i]!, y: points[i + 1]! });
    points.set([x, y], i);
  }
  return points;
}

/** Half of the distance of adjacent cells, in pixels of the upright image: how far a place may be from the centre of its cell. */
export function uncertaintyOf({ cellToPixel: { scaleX, scaleY } }: Pick<ImageFeatures, 'cellToPixel'>): number {
  return Math.max(Math.abs(scaleX), Math.abs(scaleY)) / 2;
}
